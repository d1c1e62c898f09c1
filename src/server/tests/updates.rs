//! Deployments: roll-outs, reverts, canaries.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_job_runs_and_its_deployment_completes() {
    let mut cluster = Cluster::boot().await;
    cluster.client(1).await;
    cluster.register(&job("web", 1)).await.unwrap();
    cluster.running(1).await;
    let done = cluster.deployment(DeploymentStatus::Successful).await;
    assert_eq!(done.status_description, "Deployment completed successfully");
    assert_eq!(done.groups["web"].healthy, 1);
    let stored = cluster.raft.store().snapshot().job(&key()).unwrap();
    assert!(stored.stable);
    assert_eq!(stored.status, JobStatus::Running);
    let Body::Summary(Some(summary)) = cluster.read(Read::JobSummary(key())).await.body else {
        panic!("no summary");
    };
    assert_eq!(summary.groups["web"].running, 1);
    cluster.stop().await;
}

/// `job` with an environment that makes its tasks differ from before.
fn changed(job: &Job, value: &str) -> Job {
    let mut job = job.clone();
    let task = &mut job.spec.groups[0].tasks[0];
    task.env.insert("COLOR".into(), value.into());
    job
}

#[tokio::test(start_paused = true)]
async fn a_new_version_replaces_the_old_one_step_by_step() {
    let mut cluster = Cluster::boot().await;
    cluster.client(1).await;
    let job = job("web", 3);
    cluster.register(&job).await.unwrap();
    cluster.deployment(DeploymentStatus::Successful).await;
    cluster.register(&changed(&job, "blue")).await.unwrap();
    let done = cluster
        .until("version 1 rolled out", |view| {
            // One at a time: never fewer than two run.
            let live = view.allocs().filter(|a| !a.is_terminal()).count();
            assert!(live >= 2, "{}", show(view));
            let latest = view.latest_deployment(&key())?;
            let done = latest.status == DeploymentStatus::Successful;
            (latest.job_version == 1 && done).then_some(latest)
        })
        .await;
    assert_eq!(done.groups["web"].healthy, 3);
    let running = cluster.running(3).await;
    assert!(running.iter().all(|a| a.job.version == 1));
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_failed_update_goes_back_to_the_stable_version() {
    let mut cluster = Cluster::boot().await;
    let fate = cluster.client(1).await;
    let mut job = job("web", 1);
    let group = &mut job.spec.groups[0];
    group.update.as_mut().unwrap().auto_revert = true;
    group.reschedule.unlimited = false;
    cluster.register(&job).await.unwrap();
    cluster.deployment(DeploymentStatus::Successful).await;
    fate.send_replace(Fate::FailsAt(1));
    cluster.register(&changed(&job, "broken")).await.unwrap();
    let failed = cluster
        .until("failed", |view| {
            let mut all = view.deployments_of_job(&key()).into_iter();
            all.find(|d| d.status == DeploymentStatus::Failed)
        })
        .await;
    assert_eq!(
        failed.status_description,
        "Failed due to unhealthy allocations - rolling back to job version 0"
    );
    let back = cluster.running(1).await;
    assert_eq!(back[0].job.version, 2);
    assert_eq!(back[0].job.spec, job.spec);
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn canaries_run_beside_until_promoted() {
    let mut cluster = Cluster::boot().await;
    cluster.client(1).await;
    let mut job = job("web", 2);
    job.spec.groups[0].update.as_mut().unwrap().canary = 1;
    cluster.register(&job).await.unwrap();
    cluster.deployment(DeploymentStatus::Successful).await;
    cluster.register(&changed(&job, "blue")).await.unwrap();
    let early = cluster
        .until("a canary", |view| {
            let latest = view.latest_deployment(&key())?;
            (latest.job_version == 1).then_some(latest)
        })
        .await;
    let promote = Op::PromoteDeployment {
        id: early.id,
        groups: Vec::new(),
    };
    let refused = cluster.op(promote.clone()).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "Task group \"web\" has 0/1 healthy allocations"
    );
    cluster
        .until("the canary healthy", |view| {
            (view.deployment(early.id)?.groups["web"].healthy == 1).then_some(())
        })
        .await;
    cluster.running(3).await;
    cluster.op(promote).await.unwrap();
    cluster.deployment(DeploymentStatus::Successful).await;
    let running = cluster.running(2).await;
    assert!(running.iter().all(|a| a.job.version == 1));
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn scaling_respects_the_enforced_index_and_a_roll_out() {
    let mut cluster = Cluster::boot().await;
    cluster.client(1).await;
    cluster.register(&job("web", 1)).await.unwrap();
    let scale = |enforce_index| Op::ScaleJob {
        key: key(),
        group: "web".into(),
        count: 2,
        enforce_index,
    };
    cluster.deployment(DeploymentStatus::Running).await;
    let refused = cluster.op(scale(None)).await.unwrap_err().to_string();
    assert_eq!(refused, "job scaling blocked due to active deployment");
    cluster.deployment(DeploymentStatus::Successful).await;
    let refused = cluster.op(scale(Some(77))).await.unwrap_err().to_string();
    assert!(
        refused.starts_with("Enforcing job modify index 77: job exists with"),
        "{refused}"
    );
    cluster.op(scale(None)).await.unwrap();
    cluster.running(2).await;
    cluster.stop().await;
}
