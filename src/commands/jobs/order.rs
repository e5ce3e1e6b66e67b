//! The order in which tables are loaded: parents before the tables whose foreign keys refer to
//! them.

/// The order of the jobs of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct JobOrder {
    /// The indexes of all jobs.
    pub(super) jobs: Vec<usize>,
    /// The jobs that must be complete before a job begins, by its index.
    pub(super) parents: Vec<Vec<usize>>,
    /// Jobs whose tables refer to each other in a circle, each circle once.
    pub(super) circles: Vec<Vec<usize>>,
}

impl JobOrder {
    /// Finds the order. Jobs that do not depend on each other keep the order of the file. A circle
    /// is opened at its first job in the file, which then does not wait.
    pub(super) fn new(mut parents: Vec<Vec<usize>>) -> Self {
        let count = parents.len();
        let mut is_placed = vec![false; count];
        let mut jobs = Vec::with_capacity(count);
        let mut circles = Vec::new();
        while jobs.len() < count {
            let is_ready = |job: &usize| {
                !is_placed[*job] && parents[*job].iter().all(|parent| is_placed[*parent])
            };
            let next = match (0..count).find(is_ready) {
                Some(ready) => ready,
                None => {
                    let circle = circle(&parents, &is_placed);
                    let Some(first) = circle.iter().copied().min() else { break };
                    circles.push(circle);
                    parents[first].retain(|parent| is_placed[*parent]);
                    first
                }
            };
            is_placed[next] = true;
            jobs.push(next);
        }
        Self { jobs, parents, circles }
    }
}

/// Returns a circle among the jobs that are not placed. Each of them has a parent that is not.
fn circle(parents: &[Vec<usize>], is_placed: &[bool]) -> Vec<usize> {
    let mut path: Vec<usize> = is_placed.iter().position(|placed| !placed).into_iter().collect();
    while let Some(last) = path.last() {
        let Some(next) = parents[*last].iter().copied().find(|parent| !is_placed[*parent]) else {
            break;
        };
        if let Some(start) = path.iter().position(|job| *job == next) {
            return path.split_off(start);
        }
        path.push(next);
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_come_first_and_the_others_keep_their_order() {
        let order = JobOrder::new(vec![vec![2], vec![], vec![1], vec![]]);
        assert_eq!(order.jobs, [1, 2, 0, 3]);
        assert_eq!(order.parents[0], [2]);
        assert!(order.circles.is_empty());
    }

    #[test]
    fn a_circle_is_told_and_opened_at_its_first_job() {
        let order = JobOrder::new(vec![vec![], vec![3], vec![1], vec![2], vec![3]]);
        assert_eq!(order.jobs, [0, 1, 2, 3, 4]);
        assert_eq!(order.circles.len(), 1);
        let mut circle = order.circles[0].clone();
        circle.sort_unstable();
        assert_eq!(circle, [1, 2, 3]);
        assert!(order.parents[1].is_empty() && order.parents[3] == [2]);
    }
}
