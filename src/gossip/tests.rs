//! Members over the simulated network: joining, failing, leaving, partitions, bad input.

use std::{net::SocketAddr, time::Duration};

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{records::tests::record, *};
use crate::{
    env::{sim::SimWorld, timeout},
    model::{MemberStatus, ServerRole},
};

struct Node {
    name: String,
    id: Uuid,
    addr: SocketAddr,
    gossip: Gossip,
    task: Task<()>,
}

async fn node(world: &SimWorld, number: u128) -> Node {
    node_with(world, record(number, 0), Vec::new()).await
}

/// A member whose number, and machine, its name tells.
async fn node_with(world: &SimWorld, record: MemberRecord, keys: Vec<Key>) -> Node {
    let number = record.serf_addr.to_string();
    let number = number.split([':', '.']).nth(3).unwrap();
    let env = world.env(&format!("m{number}"));
    let keys = Keyring::new(keys, env.entropy.clone());
    let bound = bind(env, record.serf_addr).await.unwrap();
    let (name, id, addr) = (record.name.clone(), record.id, bound.addr());
    let (gossip, task) = bound.start(record, keys, CancellationToken::new()).unwrap();
    Node {
        name,
        id,
        addr,
        gossip,
        task,
    }
}

async fn cluster(world: &SimWorld, size: u128) -> Vec<Node> {
    let mut nodes: Vec<Node> = Vec::new();
    for number in 1..=size {
        let node = node(world, number).await;
        if let Some(first) = nodes.first() {
            assert_eq!(node.gossip.join(&[first.addr]).await, [first.addr]);
        }
        nodes.push(node);
    }
    for node in &nodes {
        sees(world, node, "all", |m| alive(m) == size as usize).await;
    }
    nodes
}

fn alive(members: &Members) -> usize {
    members
        .values()
        .filter(|m| m.status == MemberStatus::Alive)
        .count()
}

fn status(members: &Members, of: &Node) -> Option<MemberStatus> {
    members.get(&of.id).map(|member| member.status)
}

/// Waits until `node`'s view satisfies `check`; returns how long that took.
async fn sees(
    world: &SimWorld,
    node: &Node,
    what: &str,
    check: impl Fn(&Members) -> bool,
) -> Duration {
    let clock = world.env("observer").clock;
    let start = clock.now();
    let mut members = node.gossip.members();
    let wait = async { members.wait_for(|m| check(m)).await.map(|_| ()) };
    let waited = timeout(&*clock, Duration::from_secs(120), wait).await;
    let view = || node.gossip.members().borrow().clone();
    waited
        .unwrap_or_else(|_| panic!("{} never sees {what}: {:#?}", node.name, view()))
        .unwrap();
    clock.now() - start
}

#[tokio::test(start_paused = true)]
async fn a_lone_agent_is_a_member() {
    let world = SimWorld::new(1);
    let one = node(&world, 1).await;
    let members = one.gossip.members().borrow().clone();
    assert_eq!(status(&members, &one), Some(MemberStatus::Alive));
    assert_eq!(members.len(), 1);
    one.task.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn two_agents_joined_by_address_see_each_other() {
    let world = SimWorld::new(1);
    let nodes = cluster(&world, 2).await;
    let nowhere = "10.0.9.9:4648".parse().unwrap();
    assert_eq!(
        nodes[0].gossip.join(&[nowhere, nodes[1].addr]).await,
        [nodes[1].addr]
    );
}

#[tokio::test(start_paused = true)]
async fn a_change_of_record_reaches_everybody() {
    let world = SimWorld::new(2);
    let nodes = cluster(&world, 5).await;
    nodes[0]
        .gossip
        .update(|record| record.datacenter = "dc9".to_owned())
        .await
        .unwrap();
    for node in &nodes {
        let id = nodes[0].id;
        sees(&world, node, "dc9", |m| m[&id].record.datacenter == "dc9").await;
    }
    let big = nodes[0]
        .gossip
        .update(|record| record.name = "x".repeat(600))
        .await;
    assert!(
        matches!(big, Err(GossipError::Record(RecordError::TooLarge { .. }))),
        "{big:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_crash_is_seen_in_seconds_and_a_restart_heals_it() {
    let world = SimWorld::new(3);
    let mut nodes = cluster(&world, 5).await;
    let mut dead = nodes.pop().unwrap();
    world.network().crash("m5");
    dead.task.cancel();
    for node in &nodes {
        let failed = |m: &Members| status(m, &dead) == Some(MemberStatus::Failed);
        let took = sees(&world, node, "the failure", failed).await;
        assert!(took < Duration::from_secs(8), "{took:?}");
    }
    dead.task.wait().await.unwrap();
    let again = self::node(&world, 5).await;
    again.gossip.join(&[nodes[0].addr]).await;
    for node in nodes.iter().chain([&again]) {
        sees(&world, node, "the return", |m| alive(m) == 5).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_leave_is_no_failure() {
    let world = SimWorld::new(4);
    let mut nodes = cluster(&world, 5).await;
    let mut gone = nodes.pop().unwrap();
    gone.gossip.leave().await.unwrap();
    gone.task.wait().await.unwrap();
    for node in &nodes {
        let left = |m: &Members| status(m, &gone) == Some(MemberStatus::Left);
        sees(&world, node, "the leave", left).await;
    }
    assert!(matches!(
        gone.gossip.leave().await,
        Err(GossipError::Stopped)
    ));
}

#[tokio::test(start_paused = true)]
async fn a_forced_leave_moves_a_failed_member_and_a_living_one_objects() {
    let world = SimWorld::new(5);
    let mut nodes = cluster(&world, 4).await;
    let dead = nodes.pop().unwrap();
    world.network().crash("m4");
    drop(dead.task);
    let (dead_id, dead_name) = (dead.id, dead.name.clone());
    let is = |wanted: Option<MemberStatus>| {
        move |m: &Members| m.get(&dead_id).map(|member| member.status) == wanted
    };
    sees(
        &world,
        &nodes[0],
        "the failure",
        is(Some(MemberStatus::Failed)),
    )
    .await;
    nodes[0]
        .gossip
        .force_leave(&dead_name, false)
        .await
        .unwrap();
    for node in &nodes {
        sees(
            &world,
            node,
            "the forced leave",
            is(Some(MemberStatus::Left)),
        )
        .await;
    }
    nodes[1]
        .gossip
        .force_leave(&format!("{dead_name}.global"), true)
        .await
        .unwrap();
    for node in &nodes {
        sees(&world, node, "the pruning", is(None)).await;
    }

    nodes[0].gossip.force_leave("node-2", false).await.unwrap();
    sees(&world, &nodes[0], "the objection", |m| alive(m) == 3).await;
    let unknown = nodes[0].gossip.force_leave("nobody", false).await;
    assert!(matches!(unknown, Err(GossipError::NoSuchMember(_))));
}

#[tokio::test(start_paused = true)]
async fn both_sides_of_a_healed_partition_find_each_other() {
    let world = SimWorld::new(6);
    let nodes = cluster(&world, 6).await;
    let across = || (1..=3).flat_map(|a| (4..=6).map(move |b| (format!("m{a}"), format!("m{b}"))));
    for (a, b) in across() {
        world.network().cut(&a, &b);
    }
    for node in &nodes {
        sees(&world, node, "the split", |m| alive(m) == 3).await;
    }
    world.network().heal_all();
    for node in &nodes {
        sees(&world, node, "the other half", |m| alive(m) == 6).await;
    }
}

#[tokio::test(start_paused = true)]
async fn loss_alone_kills_nobody() {
    let world = SimWorld::new(7);
    let nodes = cluster(&world, 8).await;
    world.network().lose(10);
    let clock = world.env("observer").clock;
    for _ in 0..60 {
        clock.sleep(Duration::from_secs(1)).await;
        for node in &nodes {
            assert_eq!(
                alive(&node.gossip.members().borrow()),
                8,
                "seen by {}",
                node.name
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn garbage_harms_nobody() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let world = SimWorld::new(8);
    let nodes = cluster(&world, 2).await;
    let stranger = world.env("stranger");
    let socket = stranger
        .net
        .bind_udp("10.0.8.8:9".parse().unwrap())
        .await
        .unwrap();
    let mut bytes = vec![0; 1300];
    for length in [0, 1, 9, 10, 11, 40, 1300] {
        stranger.entropy.fill(&mut bytes);
        bytes[0] = 1;
        socket
            .send_to(&bytes[..length], nodes[0].addr)
            .await
            .unwrap();
    }
    for bytes in [
        &b"\x01\xff\xff\xff\xffx"[..],
        b"GET / HTTP/1.1\r\n",
        b"\x01\x02\0\0\0\x63\x63",
    ] {
        let limit = Duration::from_secs(1);
        let mut conn = stranger.net.connect(nodes[0].addr, limit).await.unwrap();
        conn.write_all(bytes).await.unwrap();
        let mut rest = Vec::new();
        conn.read_to_end(&mut rest).await.unwrap();
        assert!(rest.is_empty());
    }
    nodes[1]
        .gossip
        .update(|record| record.build = "next".to_owned())
        .await
        .unwrap();
    let id = nodes[1].id;
    sees(&world, &nodes[0], "the update", |m| {
        m[&id].record.build == "next"
    })
    .await;
}

/// The same seed gives the same run.
#[test]
fn a_run_repeats() {
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .rng_seed(tokio::runtime::RngSeed::from_bytes(b"seed"))
            .build()
            .unwrap();
        runtime.block_on(async {
            let world = SimWorld::new(9);
            let start = world.env("observer").clock.now();
            let nodes = cluster(&world, 6).await;
            world.network().crash("m6");
            nodes[5].task.cancel();
            let mut seen = Vec::new();
            for node in &nodes[..5] {
                sees(&world, node, "five", |m| alive(m) == 5).await;
                seen.push(world.env("observer").clock.now() - start);
            }
            seen
        })
    };
    assert_eq!(run(), run());
}

/// The same over the machine's own sockets.
#[tokio::test]
async fn real_sockets_carry_it_too() {
    let mut gossips = Vec::new();
    let mut tasks = Vec::new();
    for number in 1..=2 {
        let bound = bind(Env::real(), "127.0.0.1:0".parse().unwrap())
            .await
            .unwrap();
        let mut record = record(number, 0);
        record.serf_addr = bound.addr();
        let keys = Keyring::new(Vec::new(), Env::real().entropy);
        let (gossip, task) = bound.start(record, keys, CancellationToken::new()).unwrap();
        tasks.push(task);
        gossips.push(gossip);
    }
    let first = gossips[0].members().borrow()[&Uuid::from_u128(1)]
        .record
        .serf_addr;
    assert_eq!(gossips[1].join(&[first]).await, [first]);
    for gossip in &gossips {
        gossip.members().wait_for(|m| alive(m) == 2).await.unwrap();
    }
    gossips[1].leave().await.unwrap();
    let left = |m: &Members| m[&Uuid::from_u128(2)].status == MemberStatus::Left;
    gossips[0].members().wait_for(left).await.unwrap();
    for task in tasks {
        task.stop().await.unwrap();
    }
}

/// Forty at once through one seed, then a death that all must see.
#[tokio::test(start_paused = true)]
async fn forty_find_each_other() {
    let world = SimWorld::new(10);
    let first = node(&world, 1).await;
    let mut nodes = vec![first];
    for number in 2..=40 {
        nodes.push(node(&world, number).await);
    }
    let seed = [nodes[0].addr];
    futures_util::future::join_all(nodes[1..].iter().map(|node| node.gossip.join(&seed))).await;
    for node in &nodes {
        let took = sees(&world, node, "all", |m| alive(m) == 40).await;
        assert!(took < Duration::from_secs(30), "{took:?}");
    }
    world.network().crash("m40");
    nodes[39].task.cancel();
    for node in &nodes[..39] {
        let took = sees(&world, node, "the death", |m| alive(m) == 39).await;
        assert!(took < Duration::from_secs(20), "{took:?}");
    }
}

/// Why `from` could not join `to`.
async fn refused(from: &Node, to: &Node) -> String {
    from.gossip.meet(to.addr).await.unwrap_err().to_string()
}

#[tokio::test(start_paused = true)]
async fn strangers_are_refused_and_nothing_is_merged() {
    let world = SimWorld::new(11);
    let nodes = cluster(&world, 2).await;
    let server = |cluster: u128| ServerRole {
        expect: 1,
        cluster: Some(Uuid::from_u128(cluster)),
    };
    nodes[0]
        .gossip
        .update(move |record| record.server = Some(server(7)))
        .await
        .unwrap();
    let cluster_known = |m: &Members| m.values().any(|m| m.record.server.is_some());
    sees(&world, &nodes[1], "the server", cluster_known).await;

    let check = async |change: fn(&mut MemberRecord), says: &str| {
        let mut other = record(9, 0);
        change(&mut other);
        other.serf_addr = "10.0.0.9:4648".parse().unwrap();
        let stranger = node_with(&world, other, Vec::new()).await;
        for node in &nodes {
            for said in [
                refused(&stranger, node).await,
                refused(node, &stranger).await,
            ] {
                assert!(said.contains(says), "{said}");
            }
        }
        assert_eq!(stranger.gossip.members().borrow().len(), 1);
        stranger.task.stop().await.unwrap();
    };
    check(|r| r.region = "mars".to_owned(), "regions do not mix").await;
    check(|r| r.protocol = (4, 9), "upgrade the older one").await;
    let other_cluster = |r: &mut MemberRecord| {
        r.server = Some(ServerRole {
            expect: 1,
            cluster: Some(Uuid::from_u128(8)),
        });
    };
    check(other_cluster, "two clusters cannot become one").await;
    check(|r| r.id = Uuid::from_u128(2), "two agents with the id").await;
    for node in &nodes {
        assert_eq!(node.gossip.members().borrow().len(), 2);
    }
    let own = nodes[0].gossip.meet(nodes[0].addr).await;
    assert!(matches!(own, Err(ExchangeError::Myself)), "{own:?}");
}

#[tokio::test(start_paused = true)]
async fn only_those_with_a_key_hear_each_other() {
    let world = SimWorld::new(12);
    let key = |fill: u8| Key::new(vec![fill; 32]).unwrap();
    let one = node_with(&world, record(1, 0), vec![key(1)]).await;
    let two = node_with(&world, record(2, 0), vec![key(2), key(1)]).await;
    let wrong = node_with(&world, record(3, 0), vec![key(3)]).await;
    let open = node_with(&world, record(4, 0), Vec::new()).await;
    for stranger in [&wrong, &open] {
        for said in [refused(stranger, &one).await, refused(&one, stranger).await] {
            assert!(said.contains("`encrypt` keys"), "{said}");
        }
    }
    // The one key is used here and only known there: neither direction may fail.
    assert!(refused(&two, &one).await.contains("`encrypt` keys"));
    let again = one.gossip.meet(two.addr).await;
    assert!(matches!(again, Err(ExchangeError::Keys)), "{again:?}");
    two.gossip.keys().use_key(&key(1)).unwrap();
    two.gossip.meet(one.addr).await.unwrap();
    for node in [&one, &two] {
        sees(&world, node, "both", |m| alive(m) == 2).await;
    }
    one.gossip
        .update(|r| r.build = "next".to_owned())
        .await
        .unwrap();
    let id = one.id;
    sees(&world, &two, "the update", |m| {
        m[&id].record.build == "next"
    })
    .await;

    // Datagrams of others change nothing, sealed otherwise or not at all.
    let clock = world.env("observer").clock;
    clock.sleep(Duration::from_secs(20)).await;
    assert_eq!(alive(&one.gossip.members().borrow()), 2);
    assert_eq!(wrong.gossip.members().borrow().len(), 1);
}
