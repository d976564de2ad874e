//! The reconciler for people who run a Bittensor subnet: from `platform.yaml` to Kubernetes objects and rows of
//! the registry database, shown before it is done.
//!
//! # One pass
//!
//! ```text
//! source ─▶ spec ─▶ resolve ─▶ desired ─▶ live ─▶ plan ─┬▶ render ─▶ stdout
//!  (IO)    (pure)    (IO)      (pure)     (IO)   (pure) └▶ apply ─▶ status
//!                                                           (IO)    (pure)
//! ```
//!
//! [`reconcile`] reads as that line does. Each step's output is the next one's only input, and each is a value:
//! a [`Platform`](spec::Platform) passed every check, a [`Desired`](reconcile::desired::Desired) has nothing left
//! to choose, a [`Live`](reconcile::live::Live) says of each key present, absent or unknown, and a
//! [`Plan`](reconcile::plan::Plan) is what is printed, tested and carried out. Everything is decided before
//! `apply`, which only does and reports.
//!
//! # The modules, each using only those above it
//!
//! | module | what it is |
//! | --- | --- |
//! | [`parallel`] | the same work for each of many, shared among the processors |
//! | [`vitals`] | health, readiness and metrics of a process, alike for every role |
//! | [`model`] | the words of the domain, each a type that is parsed once |
//! | [`spec`] | `platform.yaml`: as written, as checked, as schema |
//! | [`edge`] | the outside: one file per system, one small trait each |
//! | [`reconcile`] | the pass; its pure steps know no client |
//! | [`weights`] | from the challenges' scores to one weight vector |
//! | [`admin`] | what the operator and the public may see |
//! | [`settings`] | how this process runs; the only reader of the environment |
//! | [`cli`] | one file per verb; the only code that prints |
//!
//! `docs/architecture.md` has the decisions behind it, and where a change goes.

pub mod parallel;

pub mod vitals;

pub mod model;

pub mod spec;

pub mod edge;

pub mod reconcile;

pub mod weights;

pub mod admin;

pub mod settings;

pub mod cli;
