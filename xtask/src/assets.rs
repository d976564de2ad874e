//! The programs of the control plane: found, or built once with Go.
//!
//! Each Go module beside `cluster/` pins one upstream project. What it builds is
//! kept per user in a folder whose name holds version and a digest of everything
//! that decides the outcome, so that a change of version builds anew and nothing
//! else does. `KUBEBUILDER_ASSETS` (the convention of envtest) comes first.

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use ring::digest::{SHA256, digest};

use crate::{
    daemon::last_lines,
    environment::{self, find_program, is_executable, variable},
    interrupt::Interrupt,
    terminal::progress,
};

/// A cold build of the largest program takes some minutes on two cores; this is
/// the point where something must be wrong.
const BUILD_LIMIT: Duration = Duration::from_secs(60 * 60);

/// Between two lines that say that a build is still going on.
const STILL_EVERY: Duration = Duration::from_secs(30);

/// Where each program of the control plane is.
pub struct Assets {
    /// etcd.
    pub etcd: PathBuf,
    /// kube-apiserver.
    pub apiserver: PathBuf,
    /// kube-controller-manager.
    pub controller_manager: PathBuf,
    /// kube-scheduler.
    pub scheduler: PathBuf,
    /// kwok.
    pub kwok: PathBuf,
    /// helm, for whoever renders or installs the chart.
    pub helm: PathBuf,
}

/// A program and how Go builds it.
struct Program {
    name: &'static str,
    /// Folder under `cluster/` that holds the Go module.
    module: &'static str,
    /// The required module that gives the version.
    upstream: &'static str,
    package: &'static str,
    /// Variables that carry the version; without them clients see a wrong one.
    version_variables: &'static [(&'static str, Part)],
}

/// A part of a version.
#[derive(Clone, Copy)]
enum Part {
    Whole,
    Major,
    Minor,
}

const KUBERNETES_VERSION: &[(&str, Part)] = &[
    ("k8s.io/component-base/version.gitVersion", Part::Whole),
    ("k8s.io/component-base/version.gitMajor", Part::Major),
    ("k8s.io/component-base/version.gitMinor", Part::Minor),
];

const ETCD: Program = Program {
    name: "etcd",
    module: "etcd",
    upstream: "go.etcd.io/etcd/server/v3",
    package: "go.etcd.io/etcd/server/v3",
    version_variables: &[],
};
const APISERVER: Program = kubernetes("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver");
const CONTROLLER_MANAGER: Program = kubernetes(
    "kube-controller-manager",
    "k8s.io/kubernetes/cmd/kube-controller-manager",
);
const SCHEDULER: Program = kubernetes("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler");
const KWOK: Program = Program {
    name: "kwok",
    module: "kwok",
    upstream: "sigs.k8s.io/kwok",
    package: "sigs.k8s.io/kwok/cmd/kwok",
    version_variables: &[("sigs.k8s.io/kwok/pkg/consts.Version", Part::Whole)],
};
const HELM: Program = Program {
    name: "helm",
    module: "helm",
    upstream: "helm.sh/helm/v4",
    package: "helm.sh/helm/v4/cmd/helm",
    version_variables: &[("helm.sh/helm/v4/internal/version.version", Part::Whole)],
};

const fn kubernetes(name: &'static str, package: &'static str) -> Program {
    Program {
        name,
        module: "kubernetes",
        upstream: "k8s.io/kubernetes",
        package,
        version_variables: KUBERNETES_VERSION,
    }
}

impl Assets {
    /// Finds every program, building those that are not there.
    ///
    /// # Errors
    ///
    /// Fails when `KUBEBUILDER_ASSETS` lacks etcd or kube-apiserver, when Go is
    /// needed and missing, and when a build fails.
    pub fn find(interrupt: &Interrupt) -> Result<Self> {
        let given = given_folder();
        if let Some(folder) = &given {
            check_given(folder)?;
        }
        let cache = environment::cache_folder()?;
        let find = |program: &Program| find_one(program, given.as_deref(), &cache, interrupt);
        Ok(Self {
            etcd: find(&ETCD)?,
            apiserver: find(&APISERVER)?,
            controller_manager: find(&CONTROLLER_MANAGER)?,
            scheduler: find(&SCHEDULER)?,
            kwok: find(&KWOK)?,
            helm: find(&HELM)?,
        })
    }
}

/// Finds helm, building it if it is not there.
///
/// # Errors
///
/// Fails when Go is needed and missing, and when the build fails.
pub fn find_helm(interrupt: &Interrupt) -> Result<PathBuf> {
    let cache = environment::cache_folder()?;
    find_one(&HELM, given_folder().as_deref(), &cache, interrupt)
}

fn given_folder() -> Option<PathBuf> {
    variable("KUBEBUILDER_ASSETS").map(PathBuf::from)
}

fn check_given(folder: &Path) -> Result<()> {
    for program in [&ETCD, &APISERVER] {
        let file = folder.join(program.name);
        ensure!(
            is_executable(&file),
            "KUBEBUILDER_ASSETS is set, but {} is not a program",
            file.display()
        );
    }
    Ok(())
}

fn find_one(
    program: &Program,
    given: Option<&Path>,
    cache: &Path,
    interrupt: &Interrupt,
) -> Result<PathBuf> {
    if let Some(file) = given.map(|folder| folder.join(program.name))
        && is_executable(&file)
    {
        return Ok(file);
    }
    let recipe = Recipe::read(program)?;
    let folder = cache.join(recipe.key());
    let file = folder.join(program.name);
    if is_executable(&file) {
        return Ok(file);
    }
    fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    let lock = lock_folder(&folder, interrupt)?;
    // Whoever held the lock before us may have built it.
    if !is_executable(&file) {
        build(&recipe, &folder, &file, interrupt)?;
    }
    drop(lock);
    Ok(file)
}

/// Everything that decides what a build produces.
struct Recipe<'a> {
    program: &'a Program,
    source: PathBuf,
    requirements: String,
    version: String,
}

impl<'a> Recipe<'a> {
    fn read(program: &'a Program) -> Result<Self> {
        let source = environment::repository()
            .join("xtask/cluster")
            .join(program.module);
        let file = source.join("go.mod");
        let requirements =
            fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
        let version = parse_required_version(&requirements, program.upstream)
            .with_context(|| format!("find {} in {}", program.upstream, file.display()))?
            .to_owned();
        Ok(Self {
            program,
            source,
            requirements,
            version,
        })
    }

    fn key(&self) -> String {
        let module = self.program.module;
        let (system, machine) = (env::consts::OS, env::consts::ARCH);
        // go.sum need not be here: it only confirms what go.mod names.
        let flags = self.linker_flags();
        let all = [&self.requirements, flags.as_str(), system, machine].join("\n");
        let digest = digest(&SHA256, all.as_bytes());
        let short: String = digest.as_ref()[..6]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        format!("{module}-{}-{short}", self.version)
    }

    fn linker_flags(&self) -> String {
        let mut flags = String::from("-s -w");
        for (name, part) in self.program.version_variables {
            let value = take_part(&self.version, *part);
            flags.push_str(&format!(" -X {name}={value}"));
        }
        flags
    }
}

/// Returns the version at which a go.mod requires a module.
fn parse_required_version<'a>(requirements: &'a str, module: &str) -> Option<&'a str> {
    requirements.lines().find_map(|line| {
        let mut words = line.split_whitespace().filter(|word| *word != "require");
        (words.next() == Some(module))
            .then(|| words.next())
            .flatten()
            .filter(|word| word.starts_with('v'))
    })
}

fn take_part(version: &str, part: Part) -> &str {
    let mut numbers = version.trim_start_matches('v').split('.');
    match part {
        Part::Whole => version,
        Part::Major => numbers.next().unwrap_or_default(),
        Part::Minor => numbers.nth(1).unwrap_or_default(),
    }
}

fn lock_folder(folder: &Path, interrupt: &Interrupt) -> Result<File> {
    let lock = File::create(folder.join("lock")).context("create the lock of the cache")?;
    let started = Instant::now();
    let mut is_announced = false;
    while lock.try_lock().is_err() {
        interrupt.check()?;
        ensure!(
            started.elapsed() < BUILD_LIMIT,
            "another process has held the lock of {} for an hour",
            folder.display()
        );
        if !is_announced {
            progress(format!(
                "waiting for another build into {}",
                folder.display()
            ));
            is_announced = true;
        }
        thread::sleep(Duration::from_millis(200));
    }
    Ok(lock)
}

fn build(recipe: &Recipe, folder: &Path, file: &Path, interrupt: &Interrupt) -> Result<()> {
    let (name, version) = (recipe.program.name, &recipe.version);
    let log = folder.join(format!("{name}.log"));
    let unfinished = folder.join(format!(".{name}"));
    progress(format!(
        "building {name} {version} with go (once, some minutes)…"
    ));
    let started = Instant::now();
    let mut command = go_build(recipe, &unfinished)?;
    let output = File::create(&log).with_context(|| format!("create {}", log.display()))?;
    command
        .stdout(output.try_clone().context("share a log file")?)
        .stderr(output);
    wait_for_build(name, &mut command, &log, interrupt)?;
    fs::rename(&unfinished, file).with_context(|| format!("publish {}", file.display()))?;
    progress(format!(
        "built {name} {version} in {} s",
        started.elapsed().as_secs()
    ));
    Ok(())
}

fn go_build(recipe: &Recipe, output: &Path) -> Result<Command> {
    let Some(go) = find_program("go") else {
        bail!(
            "go is needed once to build {}: install Go 1.26 or later, or set KUBEBUILDER_ASSETS to a folder that has it",
            recipe.program.name
        );
    };
    let mut command = match find_program("nice") {
        Some(nice) => {
            let mut command = Command::new(nice);
            command.arg("-n10").arg(go);
            command
        }
        None => Command::new(go),
    };
    command
        .args(["build", "-mod=readonly", "-trimpath", "-buildvcs=false"])
        .args(["-ldflags", &recipe.linker_flags()])
        .arg("-o")
        .arg(output)
        .arg(recipe.program.package)
        .current_dir(&recipe.source)
        .envs([("CGO_ENABLED", "0"), ("GOWORK", "off"), ("GOFLAGS", "")])
        .stdin(Stdio::null());
    Ok(command)
}

fn wait_for_build(
    name: &str,
    command: &mut Command,
    log: &Path,
    interrupt: &Interrupt,
) -> Result<()> {
    let mut child = command.spawn().context("start go")?;
    let started = Instant::now();
    let mut said = started;
    let outcome = loop {
        if let Some(status) = child.try_wait().context("look at go")? {
            ensure!(
                status.success(),
                "go could not build {name} ({status}){}",
                last_lines(log)
            );
            return Ok(());
        }
        if let Err(interrupted) = interrupt.check() {
            break Err(interrupted.into());
        }
        if started.elapsed() > BUILD_LIMIT {
            break Err(anyhow::anyhow!(
                "building {name} took more than an hour{}",
                last_lines(log)
            ));
        }
        if said.elapsed() > STILL_EVERY {
            said = Instant::now();
            progress(format!(
                "  still building {name}, {} s",
                started.elapsed().as_secs()
            ));
        }
        thread::sleep(Duration::from_millis(100));
    };
    child.kill().context("end go")?;
    child.wait().context("wait for go to end")?;
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: [&Program; 6] = [
        &ETCD,
        &APISERVER,
        &CONTROLLER_MANAGER,
        &SCHEDULER,
        &KWOK,
        &HELM,
    ];

    fn recipe(requirements: &str) -> Recipe<'static> {
        Recipe {
            program: &APISERVER,
            source: PathBuf::new(),
            requirements: requirements.into(),
            version: "v1.36.3".into(),
        }
    }

    #[test]
    fn every_program_has_a_version_in_its_module() {
        for program in EVERY {
            let recipe = Recipe::read(program).unwrap();
            assert!(recipe.version.starts_with('v'), "{}", program.name);
            let start = format!("{}-{}-", program.module, recipe.version);
            assert!(recipe.key().starts_with(&start), "{}", recipe.key());
        }
    }

    #[test]
    fn key_follows_the_requirements_and_nothing_else() {
        assert_eq!(recipe("a").key(), recipe("a").key());
        assert_ne!(recipe("a").key(), recipe("b").key());
    }

    #[test]
    fn version_is_read_from_either_form_of_require() {
        let text = "module m\nrequire k8s.io/kubernetes v1.36.3\nrequire (\n\tgo.uber.org/zap v1.2.0 // indirect\n)\n";
        let version = |module| parse_required_version(text, module);
        assert_eq!(version("k8s.io/kubernetes"), Some("v1.36.3"));
        assert_eq!(version("go.uber.org/zap"), Some("v1.2.0"));
        assert_eq!(version("missing"), None);
    }

    #[test]
    fn linker_flags_carry_the_version_that_clients_see() {
        assert_eq!(
            recipe("").linker_flags(),
            "-s -w -X k8s.io/component-base/version.gitVersion=v1.36.3 \
             -X k8s.io/component-base/version.gitMajor=1 \
             -X k8s.io/component-base/version.gitMinor=36"
        );
    }
}
