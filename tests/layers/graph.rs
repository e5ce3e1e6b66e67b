//! The graph of imports, and the circles in it.

use std::collections::{BTreeMap, BTreeSet};

/// The names that one file takes from another, by (importing file, imported file).
pub(crate) type Imports = BTreeMap<(String, String), BTreeSet<String>>;

/// Returns every group of nodes that can all reach each other.
pub(crate) fn circles<'a>(arrows: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<Vec<&'a str>> {
    let mut targets: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (from, to) in arrows {
        targets.entry(from).or_default().insert(to);
    }
    let reached: BTreeMap<&str, BTreeSet<&str>> =
        targets.keys().map(|node| (*node, reachable(node, &targets))).collect();
    let leads_to = |from: &str, to: &str| reached.get(from).is_some_and(|nodes| nodes.contains(to));
    let mut circles = Vec::new();
    let mut placed = BTreeSet::new();
    for node in targets.keys().copied() {
        if leads_to(node, node) && !placed.contains(node) {
            let circle: Vec<&str> = targets
                .keys()
                .copied()
                .filter(|o| leads_to(node, o) && leads_to(o, node))
                .collect();
            placed.extend(circle.iter().copied());
            circles.push(circle);
        }
    }
    circles
}

fn reachable<'a>(from: &str, targets: &BTreeMap<&'a str, BTreeSet<&'a str>>) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<&str> = vec![from];
    while let Some(node) = open.pop() {
        for target in targets.get(node).into_iter().flatten() {
            if reached.insert(*target) {
                open.push(target);
            }
        }
    }
    reached
}
