//! What this challenge is about: a number whose hash, together with the miner's hotkey, begins with as many
//! zero bits as possible. Who finds one more zero has tried about twice as many. Pure.
//!
//! The hotkey is part of what is hashed, so nobody can use another's number, and no signature is needed.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

/// Hotkeys that are remembered; anybody may send one.
pub const MAX_HOTKEYS: usize = 10_000;
/// The longest hotkey; addresses of the chain have 48 characters.
const MAX_HOTKEY: usize = 64;

/// The best of each hotkey, in zero bits. The same numbers give the same board in any order.
#[derive(Default)]
pub struct Board(BTreeMap<String, u32>);

/// Why a number is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// That is no hotkey.
    NoHotkey,
    /// The board is full, and the number is no better than the worst of it.
    TooLittle,
}

impl Board {
    /// Takes a number and returns how many zeros it is good for.
    pub fn offer(&mut self, slug: &str, hotkey: &str, number: u64) -> Result<u32, Refused> {
        let is_hotkey = !hotkey.is_empty() && hotkey.bytes().all(|b| b.is_ascii_alphanumeric());
        if !is_hotkey || hotkey.len() > MAX_HOTKEY {
            return Err(Refused::NoHotkey);
        }
        let zeros = zeros(slug, hotkey, number);
        if !self.0.contains_key(hotkey) && self.0.len() >= MAX_HOTKEYS {
            self.make_room(zeros)?;
        }
        let best = self.0.entry(hotkey.to_owned()).or_default();
        *best = zeros.max(*best);
        Ok(zeros)
    }

    fn make_room(&mut self, zeros: u32) -> Result<(), Refused> {
        let worst = self.0.iter().min_by_key(|(_, zeros)| **zeros);
        let worst = worst.filter(|(_, worst)| **worst < zeros);
        let worst = worst
            .map(|(hotkey, _)| hotkey.clone())
            .ok_or(Refused::TooLittle)?;
        self.0.remove(&worst);
        Ok(())
    }

    /// Returns the score of each hotkey: the tries that its best number stands for. The platform takes any
    /// scale; what counts is each score's part of their sum.
    pub fn scores(&self) -> BTreeMap<&str, f64> {
        let best = self.0.iter();
        best.map(|(hotkey, zeros)| (hotkey.as_str(), f64::from(*zeros).exp2()))
            .collect()
    }
}

/// Returns how many zero bits the hash of a number begins with.
pub fn zeros(slug: &str, hotkey: &str, number: u64) -> u32 {
    let hash = Sha256::digest(format!("{slug}:{hotkey}:{number}"));
    let whole = hash.iter().take_while(|byte| **byte == 0).count();
    let rest = hash.get(whole).map_or(0, |byte| byte.leading_zeros());
    8 * u32::try_from(whole).unwrap_or(u32::MAX / 8) + rest
}
