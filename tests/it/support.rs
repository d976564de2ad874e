//! What the tests stand on: a namespace of their own on the real API server, the program as a user runs it,
//! and a proxy in between that can be told to fail.

pub mod apiserver;
pub mod chain;
pub mod challenge;
pub mod cluster;
pub mod dice;
pub mod git;
pub mod keeper;
pub mod listener;
pub mod postgres;
pub mod proxy;
pub mod world;
