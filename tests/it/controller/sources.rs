//! From a new version of the source to the first write, by every way a source is kept.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::git::Repo;
use crate::support::keeper::Keeper;
use crate::support::world::World;

/// Returns a declaration that differs by this value alone.
fn version(world: &World, value: usize) -> String {
    let extra = format!("database: sqlite\nenv: {{VERSION: \"{value}\"}}");
    world.yaml(&[("demo", &extra)])
}

fn replace(path: &Path, text: &str) {
    let beside = path.with_file_name(".new");
    std::fs::write(&beside, text).unwrap();
    std::fs::rename(beside, path).unwrap();
}

/// Puts a version where a kubelet puts a ConfigMap: files behind a link that is swapped.
fn mount(directory: &Path, number: usize, text: &str) {
    let data = format!("..2026_11_23.{number}");
    std::fs::create_dir_all(directory.join(&data)).unwrap();
    std::fs::write(directory.join(&data).join("platform.yaml"), text).unwrap();
    symlink(&data, directory.join("..data_tmp")).unwrap();
    std::fs::rename(directory.join("..data_tmp"), directory.join("..data")).unwrap();
    if number == 0 {
        symlink("..data/platform.yaml", directory.join("platform.yaml")).unwrap();
    }
}

/// Follows a source, puts new versions there, and returns the longest time to the first write.
async fn follow(world: &World, source: &str, put: impl Fn(usize, &str)) -> Duration {
    put(0, &version(world, 0));
    let mut keeper = Keeper::start(world, &[source]);
    keeper.until_ready(1).await;
    let mut longest = Duration::ZERO;
    for number in 1..4 {
        world.proxy.take_seen();
        let began = Instant::now();
        put(number, &version(world, number));
        world.proxy.until_seen("patch").await;
        longest = longest.max(began.elapsed());
        keeper.until_ready(1).await;
    }
    assert_eq!(keeper.terminate().await.0, Some(0));
    longest
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster"]
async fn a_new_version_of_a_source_is_written_at_once() {
    let mut world = World::new().await;
    // Nothing here is found by reading again and again.
    world.set("PLATFORM_CONTROLLER__INTERVAL_SECONDS", "300");
    let file = world.path("platform.yaml");
    let directory = world.path("deploy");
    let (mounted, as_file) = (world.path("mounted"), world.path("as-file"));
    for made in [&directory, &mounted, &as_file] {
        std::fs::create_dir(made).unwrap();
    }
    let replaced = follow(&world, "platform.yaml", |_, text| replace(&file, text)).await;
    let written = follow(&world, "./platform.yaml", |_, text| {
        std::fs::write(&file, text).unwrap();
    });
    let written = written.await;
    let in_directory = follow(&world, "deploy", |_, text| {
        replace(&directory.join("platform.yaml"), text);
    });
    let in_directory = in_directory.await;
    let as_directory = follow(&world, "mounted", |n, text| mount(&mounted, n, text)).await;
    let source = "as-file/platform.yaml";
    let as_file = follow(&world, source, |n, text| mount(&as_file, n, text)).await;
    println!(
        "to the first write: replaced {replaced:.0?}, written {written:.0?}, directory {in_directory:.0?}, \
         mounted directory {as_directory:.0?}, mounted file {as_file:.0?}"
    );
    // Far less than the interval, whatever else the machine does.
    for took in [replaced, written, in_directory, as_directory, as_file] {
        assert!(took < Duration::from_secs(60), "{took:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster"]
async fn a_pushed_commit_is_written_after_the_next_poll() {
    let mut world = World::new().await;
    world.set("PLATFORM_CONTROLLER__INTERVAL_SECONDS", "1");
    let repo = Repo::new();
    let source = format!("{}#main:deploy", repo.address());
    let took = follow(&world, &source, |number, text| {
        repo.write("deploy/platform.yaml", text);
        repo.commit(&format!("version {number}"));
    });
    let took = took.await;
    println!("from a commit to the first write: {took:.0?}");
    assert!(took < Duration::from_secs(60), "{took:?}");
}
