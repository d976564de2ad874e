//! From the challenges' scores to the vector: challenges over real HTTP.

mod example;
mod tokens;
