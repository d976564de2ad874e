//! From the challenges' scores to the vector: challenges over real HTTP.

mod collect;
mod described;
mod example;
mod fit;
mod health;
mod offline;
mod outages;
mod registry;
mod restarts;
mod roles;
mod running;
mod served;
mod shown;
mod tokens;
mod world;

/// The program does this when it starts.
fn install_tls() {
    static PROVIDER: std::sync::Once = std::sync::Once::new();
    PROVIDER.call_once(|| {
        rustls::crypto::ring::default_provider()
            .install_default()
            .ok();
    });
}
