//! What decides the outcome of a build, and so its place in the cache.

use std::{env, fs, path::PathBuf};

use anyhow::{Context, Result};
use ring::digest::{SHA256, digest};

use crate::environment;

/// A program and how Go builds it.
pub struct Program {
    /// Its file.
    pub name: &'static str,
    /// Folder under `cluster/` that holds the Go module.
    module: &'static str,
    /// The required module that gives the version.
    upstream: &'static str,
    /// What `go build` is given.
    pub package: &'static str,
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

/// The store of the API server.
pub const ETCD: Program = Program {
    name: "etcd",
    module: "etcd",
    upstream: "go.etcd.io/etcd/server/v3",
    package: "go.etcd.io/etcd/server/v3",
    version_variables: &[],
};
/// The API server.
pub const APISERVER: Program = kubernetes("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver");
/// What makes pods and claims of StatefulSets and Jobs.
pub const CONTROLLER_MANAGER: Program = kubernetes(
    "kube-controller-manager",
    "k8s.io/kubernetes/cmd/kube-controller-manager",
);
/// What gives pods a node.
pub const SCHEDULER: Program = kubernetes("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler");
/// What plays the kubelet.
pub const KWOK: Program = Program {
    name: "kwok",
    module: "kwok",
    upstream: "sigs.k8s.io/kwok",
    package: "sigs.k8s.io/kwok/cmd/kwok",
    version_variables: &[("sigs.k8s.io/kwok/pkg/consts.Version", Part::Whole)],
};
/// What renders the chart.
pub const HELM: Program = Program {
    name: "helm",
    module: "helm",
    upstream: "helm.sh/helm/v4",
    package: "helm.sh/helm/v4/cmd/helm",
    version_variables: &[("helm.sh/helm/v4/internal/version.version", Part::Whole)],
};
/// What the memory of the controller is measured beside.
pub const KUSTOMIZE_CONTROLLER: Program = Program {
    name: "kustomize-controller",
    module: "kustomize-controller",
    upstream: "github.com/fluxcd/kustomize-controller",
    package: "github.com/fluxcd/kustomize-controller",
    version_variables: &[],
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

/// Everything that decides what a build produces.
pub struct Recipe<'a> {
    /// What is built.
    pub program: &'a Program,
    /// Folder of its Go module.
    pub source: PathBuf,
    requirements: String,
    /// Version of the upstream project.
    pub version: String,
}

impl<'a> Recipe<'a> {
    /// Reads the Go module of a program.
    ///
    /// # Errors
    ///
    /// Fails when it cannot be read or does not require the upstream project.
    pub fn read(program: &'a Program) -> Result<Self> {
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

    /// Returns the name of the folder that holds the outcome.
    pub fn key(&self) -> String {
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

    /// Returns what `-ldflags` is given.
    pub fn linker_flags(&self) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: [&Program; 7] = [
        &ETCD,
        &APISERVER,
        &CONTROLLER_MANAGER,
        &SCHEDULER,
        &KWOK,
        &HELM,
        &KUSTOMIZE_CONTROLLER,
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
