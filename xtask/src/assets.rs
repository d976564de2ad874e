//! The programs of the control plane: found, or built once with Go.
//!
//! Each Go module beside `cluster/` pins one upstream project. What it builds is
//! kept per user in a folder whose name holds version and a digest of everything
//! that decides the outcome, so that a change of version builds anew and nothing
//! else does. `KUBEBUILDER_ASSETS` (the convention of envtest) comes first.

mod recipe;

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    daemon::last_lines,
    environment::{self, find_program, is_executable, variable},
    interrupt::Interrupt,
    terminal::progress,
};

use self::recipe::{
    APISERVER, CONTROLLER_MANAGER, ETCD, HELM, KUSTOMIZE_CONTROLLER, KWOK, Program, Recipe,
    SCHEDULER,
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
    find_alone(&HELM, interrupt)
}

/// Finds Flux's kustomize-controller, building it if it is not there. No control plane needs it.
///
/// # Errors
///
/// Fails when Go is needed and missing, and when the build fails.
pub fn find_kustomize_controller(interrupt: &Interrupt) -> Result<PathBuf> {
    find_alone(&KUSTOMIZE_CONTROLLER, interrupt)
}

fn find_alone(program: &Program, interrupt: &Interrupt) -> Result<PathBuf> {
    let cache = environment::cache_folder()?;
    find_one(program, given_folder().as_deref(), &cache, interrupt)
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
