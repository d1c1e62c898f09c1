//! A deployment as a block.

use jiff::tz::TimeZone;

use crate::cli::format;
use crate::cli::output::{Pairs, bold, table};
use crate::http::dto::deployment::{Deployment, DeploymentState};

/// Header and table of one deployment.
pub fn block(deployment: &Deployment, verbose: bool, zone: &TimeZone) -> String {
    let pairs = Pairs::new()
        .with("ID", format::id(&deployment.id, verbose))
        .with("Job ID", &deployment.job_id)
        .with("Job Version", deployment.job_version.to_string())
        .with("Status", &deployment.status)
        .with("Description", &deployment.status_description);
    with_groups(pairs, deployment, zone)
}

/// The shorter block inside a job's status.
pub fn latest(deployment: &Deployment, verbose: bool, zone: &TimeZone) -> String {
    let pairs = Pairs::new()
        .with("ID", format::id(&deployment.id, verbose))
        .with("Status", &deployment.status)
        .with("Description", &deployment.status_description);
    with_groups(pairs, deployment, zone)
}

fn with_groups(pairs: Pairs, deployment: &Deployment, zone: &TimeZone) -> String {
    let head = pairs.render();
    if deployment.task_groups.is_empty() {
        return head;
    }
    format!(
        "{head}\n\n{}\n{}",
        bold("Deployed"),
        groups(deployment, zone)
    )
}

fn groups(deployment: &Deployment, zone: &TimeZone) -> String {
    let all = &deployment.task_groups;
    let any = |test: fn(&DeploymentState) -> bool| all.values().any(test);
    let reverts = any(|g| g.auto_revert);
    let canaries = any(|g| g.desired_canaries > 0);
    let deadlines = any(|g| g.progress_deadline != 0);
    let mut head = vec!["Task Group"];
    head.extend(reverts.then_some("Auto Revert"));
    head.extend(canaries.then_some("Promoted"));
    head.push("Desired");
    head.extend(canaries.then_some("Canaries"));
    head.extend(["Placed", "Healthy", "Unhealthy"]);
    head.extend(deadlines.then_some("Progress Deadline"));
    let mut rows = table(head);
    for (name, group) in all {
        let mut cells = vec![name.clone()];
        cells.extend(reverts.then(|| group.auto_revert.to_string()));
        cells.extend(canaries.then(|| match group.desired_canaries {
            0 => "N/A".to_owned(),
            _ => group.promoted.to_string(),
        }));
        cells.push(group.desired_total.to_string());
        cells.extend(canaries.then(|| group.desired_canaries.to_string()));
        cells.push(group.placed_allocs.to_string());
        cells.push(group.healthy_allocs.to_string());
        cells.push(group.unhealthy_allocs.to_string());
        cells.extend(
            deadlines.then(|| match format::time(group.require_progress_by.0.0, zone) {
                unset if unset.is_empty() => "N/A".to_owned(),
                time => time,
            }),
        );
        rows.row(cells);
    }
    rows.render()
}

/// The table of several deployments.
pub fn list(deployments: &[Deployment], verbose: bool) -> String {
    if deployments.is_empty() {
        return "No deployments found".to_owned();
    }
    let mut rows = table(["ID", "Job ID", "Job Version", "Status", "Description"]);
    for d in deployments {
        rows.row([
            format::id(&d.id, verbose),
            d.job_id.clone(),
            d.job_version.to_string(),
            d.status.clone(),
            d.status_description.clone(),
        ]);
    }
    rows.render()
}
