//! Repositories made to be misread: each is refused with its reason, within bounds.

use super::GOOD;
use crate::support::git::Repo;

/// Checks a tree made by hand, with a good `platform.yaml` in it, and these entries besides.
#[track_caller]
fn refuse(entries: &[(&str, &[u8], &str)], repo: &Repo, reason: &str) {
    let main = repo.blob(GOOD.as_bytes());
    let mut tree: Vec<(&str, &[u8], &str)> = vec![("100644", b"platform.yaml", &main)];
    tree.extend_from_slice(entries);
    repo.commit_tree(&tree);
    repo.check(&repo.address(), &[]).expect(2, reason);
}

#[test]
fn links_are_not_followed_wherever_they_lead() {
    let repo = Repo::new();
    std::fs::write(repo.beside("outside.yaml"), GOOD).unwrap();
    for target in [
        "/etc/passwd",
        "../outside.yaml",
        "../../../../../../etc/passwd",
        "platform.yaml",
        "nowhere",
    ] {
        let link = repo.blob(target.as_bytes());
        refuse(
            &[("120000", b"x.yaml", &link)],
            &repo,
            "x.yaml is a symbolic link",
        );
    }
    let file = repo.blob(b"x");
    let folder = repo.tree(&[("100644", b"a", &file)]);
    // A link that may stand for a directory could hide declarations; one to a file of the same commit cannot.
    for (target, is_refused) in [
        ("sub", true),
        ("..", true),
        ("/tmp", true),
        ("gone", true),
        ("sub/a", false),
    ] {
        let link = repo.blob(target.as_bytes());
        let main = repo.blob(GOOD.as_bytes());
        repo.commit_tree(&[
            ("120000", b"link", &link),
            ("100644", b"platform.yaml", &main),
            ("40000", b"sub", &folder),
        ]);
        let told = repo.check(&repo.address(), &[]);
        match is_refused {
            true => told.expect(2, "link is a symbolic link"),
            false => told.expect(0, "is valid"),
        }
    }
    let link = repo.blob(b"/etc/passwd");
    repo.commit_tree(&[("120000", b"platform.yaml", &link)]);
    repo.check(&repo.address(), &[])
        .expect(2, "platform.yaml is a symbolic link");
    let inside = format!("{}:platform.yaml", repo.address());
    repo.check(&inside, &[])
        .expect(2, "platform.yaml is a symbolic link");
    let through = repo.blob(b"sub");
    repo.commit_tree(&[("120000", b"deploy", &through), ("40000", b"sub", &folder)]);
    let address = format!("{}:deploy/a", repo.address());
    repo.check(&address, &[])
        .expect(2, "deploy is a symbolic link");
}

#[test]
fn submodules_are_not_followed() {
    let repo = Repo::new();
    let commit = "1".repeat(40);
    refuse(&[("160000", b"sub", &commit)], &repo, "sub is a submodule");
    let address = format!("{}:sub", repo.address());
    repo.check(&address, &[]).expect(2, "sub is a submodule");
    let address = format!("{}:sub/platform.yaml", repo.address());
    repo.check(&address, &[]).expect(2, "sub is a submodule");
}

#[test]
fn names_that_no_checkout_could_hold_are_refused() {
    let repo = Repo::new();
    let file = repo.blob(b"a: 1");
    let folder = repo.tree(&[("100644", b"x.yaml", &file)]);
    for name in [
        &b".."[..],
        b".",
        b".git",
        b".GIT",
        b"a\rb.yaml",
        b"a\nb.yaml",
        b"a\x1b[31m.yaml",
        b"a/b.yaml",
        b"..\\x.yaml",
        b"\xff\xfe.yaml",
        "a\u{202e}lmay.yaml".as_bytes(),
        "a\u{200b}.yaml".as_bytes(),
    ] {
        refuse(
            &[("40000", name, &folder)],
            &repo,
            "holds an entry with the name",
        );
        refuse(
            &[("100644", name, &file)],
            &repo,
            "holds an entry with the name",
        );
    }
}

#[test]
fn trees_that_lie_are_refused() {
    let repo = Repo::new();
    let file = repo.blob(b"a: 1");
    let folder = repo.tree(&[("100644", b"x.yaml", &file)]);
    let refuse_as = |entries: &[(&str, &[u8], &str)], reason: &str| {
        let main = repo.blob(GOOD.as_bytes());
        let mut tree: Vec<(&str, &[u8], &str)> = vec![("100644", b"platform.yaml", &main)];
        tree.extend_from_slice(entries);
        repo.commit_tree(&tree);
        repo.check(&repo.address(), &[]).expect(4, reason);
    };
    refuse_as(&[("100644", b"platform.yaml", &file)], "stands twice");
    refuse_as(&[("100644", b"x.yaml", &folder)], "is damaged");
    refuse_as(&[("40000", b"sub", &file)], "is damaged");
    refuse_as(&[("10644", b"x.yaml", &file)], "mode");
}

#[test]
fn bounds_hold_before_anything_is_read() {
    let repo = Repo::new();
    let huge = repo.blob(&vec![b'#'; 300 * 1024 * 1024]);
    refuse(&[("100644", b"x.yaml", &huge)], &repo, "4 MiB");
    let repo = Repo::new();
    let half = repo.blob(&vec![b'#'; 2 * 1024 * 1024 + 1]);
    refuse(
        &[("100644", b"x.yaml", &half), ("100644", b"y.yaml", &half)],
        &repo,
        "4 MiB",
    );
    let file = repo.blob(b"a: 1");
    let mut deep = repo.tree(&[("100644", b"x.yaml", &file)]);
    for _ in 0..9 {
        deep = repo.tree(&[("40000", b"d", &deep)]);
    }
    refuse(&[("40000", b"d", &deep)], &repo, "8 directories deep");
}

#[test]
fn ten_thousand_files_are_refused_however_they_are_made() {
    let repo = Repo::new();
    let file = repo.blob(b"a: 1");
    let names: Vec<String> = (0..10_000)
        .map(|number| format!("{number:05}.yaml"))
        .collect();
    let entries: Vec<_> = names
        .iter()
        .map(|name| ("100644", name.as_bytes(), file.as_str()))
        .collect();
    let wide = repo.tree(&entries);
    refuse(&[("40000", b"wide", &wide)], &repo, "1000 YAML files");
    // The same few objects, named again and again, make more entries than there are atoms.
    let names: Vec<String> = (0..100).map(|number| format!("{number:03}")).collect();
    let mut bomb = repo.tree(&[("100644", b"x.txt", &file)]);
    for _ in 0..7 {
        let entries: Vec<_> = names
            .iter()
            .map(|name| ("40000", name.as_bytes(), bomb.as_str()))
            .collect();
        bomb = repo.tree(&entries);
    }
    refuse(&[("40000", b"bomb", &bomb)], &repo, "20000 entries");
}
