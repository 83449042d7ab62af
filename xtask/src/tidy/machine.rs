//! What must not leak from the machine on which a file was written.

use super::tree::Tree;

/// Finds absolute paths of a developer's machine. Pages for users may show a home folder.
pub(super) fn no_paths_of_a_machine(tree: &Tree) -> Vec<String> {
    // Put together here, so that this file does not find itself.
    let (work, root, home) = (concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/"));
    let mut found = Vec::new();
    for file in &tree.files {
        let is_page = file.path.starts_with("docs/");
        for (number, line) in file.lines() {
            for path in [work, root, home] {
                if holds_absolute(line, path) && !(path == home && is_page) {
                    found.push(format!("{}:{number}: a path under `{path}`", file.path));
                }
            }
        }
    }
    found
}

/// Returns whether `path` stands in `line` as the start of a path: `crates/work/src` has no machine's path in it.
fn holds_absolute(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || "._-~}*)]>".contains(c))
    })
}

/// Finds hosts from which packages are downloaded: which one is used is the machine's choice. `Cargo.lock` names the
/// index of crates.io as what a crate *is*, whichever mirror it comes from, and not as where to get it.
pub(super) fn no_hosts_of_registries(tree: &Tree) -> Vec<String> {
    let hosts = [
        concat!("static.", "crates.io"),
        concat!("index.", "crates.io"),
        concat!("py", "pi.org"),
        concat!("files.python", "hosted.org"),
        concat!("registry.", "npmjs.org"),
        concat!("deb.", "debian.org"),
        concat!("security.", "debian.org"),
        concat!("proxy.", "golang.org"),
    ];
    let mut found = Vec::new();
    for file in &tree.files {
        for (number, line) in file.lines() {
            let named = hosts.iter().filter(|host| line.contains(**host));
            found.extend(named.map(|host| format!("{}:{number}: names the host `{host}`", file.path)));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_a_machine_is_found() {
        let right = "crates/work/src ./work/x ~/root/x {dir}/home/x https://host/root/x";
        assert!(no_paths_of_a_machine(&Tree::of(&[("a.rs", right)])).is_empty());
        let home = concat!("cd /ho", "me/me/data\n");
        assert!(no_paths_of_a_machine(&Tree::of(&[("docs/guide/a.md", home)])).is_empty());
        assert_eq!(no_paths_of_a_machine(&Tree::of(&[("a.md", home)])).len(), 1);
        let wrong = concat!("\"/wo", "rk/main\"\nx=/ro", "ot/.cargo\n");
        assert_eq!(
            no_paths_of_a_machine(&Tree::of(&[("docs/a.md", wrong)])),
            [concat!("docs/a.md:1: a path under `/wo", "rk/`"), concat!("docs/a.md:2: a path under `/ro", "ot/`")]
        );
    }

    #[test]
    fn a_host_of_a_registry_is_found() {
        let right = "source = \"registry+https://github.com/rust-lang/crates.io-index\"\nfrom PyPI\n";
        assert!(no_hosts_of_registries(&Tree::of(&[("Cargo.lock", right)])).is_empty());
        let wrong = concat!("url = \"https://static.", "crates.io/x\"\n");
        assert_eq!(no_hosts_of_registries(&Tree::of(&[("Cargo.lock", wrong)])).len(), 1);
    }
}
