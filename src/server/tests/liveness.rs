//! Nodes whose machine or agent dies, with the gossip and the rpc port simulated.

use std::net::SocketAddr;

use crate::env::sim::SimWorld;
use crate::gossip::{self, Gossip, Keyring};
use crate::model::{Member, MemberRecord, MemberStatus, Members};
use crate::rpc::{ClusterToken, Pool, Services, serve};
use crate::server::Witness;
use crate::server::duties::liveness::{AGENT_RESTART_GRACE, SILENCE_MAX};

use super::*;

const SERVER: &str = "10.0.0.1:4647";

/// The agent of a node: it answers on its rpc port.
struct Machine {
    node: Node,
    rpc: Task<()>,
}

async fn machine(world: &SimWorld, n: u128) -> Machine {
    let env = world.env(&format!("n{n}"));
    let mut node = node(n);
    node.rpc_addr = format!("10.0.1.{n}:4647").parse().unwrap();
    let listener = env.net.listen(node.rpc_addr).await.unwrap();
    let stop = CancellationToken::new();
    let token = ClusterToken::default();
    let run = serve(env, listener, Services::new(), token, stop.clone());
    Machine {
        node,
        rpc: spawn("rpc", stop, run),
    }
}

/// A server on a machine of its own that hears of members through `members`.
async fn boot(world: &SimWorld, members: watch::Receiver<Members>) -> Cluster {
    let env = world.env("s");
    let token = CancellationToken::new();
    let pool = Pool::new(env.clone(), ClusterToken::default(), token.clone());
    let raft = Arc::new(Alone::leading());
    let witness = Witness::new(members, pool);
    let server = Server::with_witness(env, raft.clone(), Some(witness));
    let run = spawn("server", token.clone(), server.clone().run(token.clone()));
    let mut duties = server.ctx.duties.subscribe();
    duties.wait_for(Option::is_some).await.unwrap();
    Cluster {
        server,
        raft,
        token,
        tasks: vec![run],
    }
}

fn record(id: NodeId, rpc: SocketAddr) -> MemberRecord {
    let addr = |port| SocketAddr::new(rpc.ip(), port);
    MemberRecord {
        id: id.0,
        name: format!("agent {id}"),
        region: "global".to_string(),
        datacenter: "dc1".to_string(),
        server: None,
        client: true,
        http_addr: addr(4646),
        rpc_addr: rpc,
        serf_addr: addr(4648),
        build: String::new(),
        revision: String::new(),
        protocol: (1, 1),
        version: 0,
    }
}

async fn member(world: &SimWorld, machine: &str, record: MemberRecord) -> (Gossip, Task<()>) {
    let env = world.env(machine);
    let keys = Keyring::new(Vec::new(), env.entropy.clone());
    let bound = gossip::bind(env, record.serf_addr).await.unwrap();
    bound.start(record, keys, CancellationToken::new()).unwrap()
}

async fn register(cluster: &Cluster, node: &Node) {
    let op = Op::RegisterNode(Box::new(node.clone()));
    cluster.op(op).await.unwrap();
}

async fn until_down(cluster: &Cluster, id: NodeId) -> Duration {
    let clock = cluster.server.ctx.env.clock.clone();
    let start = clock.now();
    let down = |view: &Snapshot| {
        let node = view.node(id)?;
        (node.status == NodeStatus::Down).then_some(())
    };
    cluster.until("down", down).await;
    clock.now() - start
}

#[tokio::test(start_paused = true)]
async fn a_dead_machine_is_down_in_seconds_though_its_poll_is_open() {
    let world = SimWorld::new(3);
    let server = record(NodeId(uuid::Uuid::from_u128(99)), SERVER.parse().unwrap());
    let (gossip, _own) = member(&world, "s", server).await;
    let cluster = boot(&world, gossip.members()).await;
    let (mut agents, mut machines, mut polls) = (Vec::new(), Vec::new(), Vec::new());
    for n in 1..=4 {
        let machine = machine(&world, n).await;
        let record = record(machine.node.id, machine.node.rpc_addr);
        let serf = record.serf_addr;
        agents.push(member(&world, &format!("n{n}"), record).await);
        gossip.meet(serf).await.unwrap();
        register(&cluster, &machine.node).await;
        polls.push(cluster.server.ctx.seen.poll(machine.node.id));
        machines.push(machine);
    }
    let all = |m: &Members| {
        m.values()
            .filter(|m| m.status == MemberStatus::Alive)
            .count()
            == 5
    };
    gossip.members().wait_for(all).await.unwrap();

    world.network().power_off("n4");
    let took = until_down(&cluster, node(4).id).await;
    assert!(took <= Duration::from_secs(4), "{took:?}");
    let ready = cluster.raft.store().snapshot();
    let ready = ready
        .nodes()
        .iter()
        .filter(|n| n.status == NodeStatus::Ready)
        .count();
    assert_eq!(ready, 3);
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_died_has_a_while_to_return() {
    let world = SimWorld::new(4);
    let (_members, seen) = watch::channel(Members::new());
    let cluster = boot(&world, seen).await;
    let one = machine(&world, 1).await;
    let id = one.node.id;
    register(&cluster, &one.node).await;
    // It asks for nothing, and its port refuses.
    one.rpc.stop().await.unwrap();
    let took = until_down(&cluster, id).await;
    assert!(took >= AGENT_RESTART_GRACE, "{took:?}");
    assert!(took < SILENCE_MAX, "{took:?}");
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_answers_lives_whatever_the_gossip_says() {
    let world = SimWorld::new(5);
    let (members, seen) = watch::channel(Members::new());
    let mut cluster = boot(&world, seen).await;
    let one = machine(&world, 1).await;
    cluster.client_on(one.node.clone()).await;
    let record = record(one.node.id, one.node.rpc_addr);
    let status = MemberStatus::Failed;
    members.send_replace(Members::from([(record.id, Member { record, status })]));
    let clock = cluster.server.ctx.env.clock.clone();
    clock.sleep(SILENCE_MAX * 2).await;
    let view = cluster.raft.store().snapshot();
    assert_eq!(view.node(one.node.id).unwrap().status, NodeStatus::Ready);
    cluster.stop().await;
    one.rpc.stop().await.unwrap();
}
