//! A fuzz of the store's answers: XML, headers and bodies, recorded from the endpoint and changed.
//!
//! A case lists a prefix of seven objects on three pages, and stages each object, by the code that
//! a run uses. In every second case, the listing has no ETags, so that each object is asked for by
//! HEAD. One answer of the case is changed, or several.
//!
//! The judge: no panic, no case beyond [`CASE_LIMIT`], and a case that succeeds has found the true
//! objects with their true bytes, each once. A case succeeds if the listing ends well, names no
//! failed key, and every object is staged. An object is not read again if the listing is the true
//! one and no later answer is changed. Two changes cannot be noticed, and are counted apart:
//!
//! - A change of an object's bytes, of the same length, in an answer that has lost its checksum.
//!   Such an object is reported as verified by its length alone.
//! - Keys that are missing because a page was changed into another page that is whole: it has lost
//!   its `KeyCount` or has another, or says that it is the last and has lost its token.
//!
//! ```sh
//! S3_TO_MYSQL_TEST_STORE_CASES=100000 cargo test --test it -- store_fuzz    # 100,000 cases
//! S3_TO_MYSQL_TEST_STORE_CASES=41..42 cargo test --test it -- store_fuzz    # one of them again
//! ```

mod mutate;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use fastrand::Rng;
use s3_to_mysql::staging::Integrity;

use crate::registry::{apply, plain_test};
use crate::support::program::BUCKET;
use crate::support::raw_store::{Answer, RawStore, Then, forward};
use crate::support::read_all::Reader;
use crate::support::s3::{Algorithm, Backend, Endpoint, Object};

/// The number of cases in an ordinary run of the tests.
const CASES: u64 = 300;
/// The seed of an ordinary run.
const SEED: u64 = 20_261_127;
/// Answers that stall or drip are given up after this time, or five times this time.
const STALL_TIMEOUT: Duration = Duration::from_millis(200);
/// The limit on a case: several answers that drip, on a busy machine.
const CASE_LIMIT: Duration = Duration::from_secs(60);
/// The number of keys on a page.
const PAGE_KEYS: usize = 3;
/// The number of cases that run at once.
const WORKERS: u64 = 4;
/// The number of answers that are remembered.
const RECORDED: usize = 200;

/// The cases to run.
struct Plan {
    seed: u64,
    cases: Range<u64>,
    is_long: bool,
}

impl Plan {
    fn from_environment() -> Result<Self> {
        let cases = std::env::var("S3_TO_MYSQL_TEST_STORE_CASES").ok();
        let seed = match std::env::var("S3_TO_MYSQL_TEST_STORE_SEED") {
            Ok(text) => text.parse().context("S3_TO_MYSQL_TEST_STORE_SEED is not a number")?,
            Err(_) => SEED,
        };
        let is_long = cases.is_some();
        let cases = match cases.as_deref().map(|text| text.split_once("..").unwrap_or(("0", text)))
        {
            Some((from, to)) => {
                from.parse()?
                    ..to.parse().context("S3_TO_MYSQL_TEST_STORE_CASES is neither N nor M..N")?
            }
            None => 0..CASES,
        };
        Ok(Self { seed, cases, is_long })
    }
}

/// The results of the cases.
#[derive(Debug, Default)]
struct Tally {
    /// The listing or an object failed, by the error's code.
    refused: BTreeMap<String, u64>,
    /// The change made no difference, or was put right by a second attempt.
    right: u64,
    /// Objects whose bytes are others, in an answer without a checksum.
    unverified: u64,
    /// Keys are missing because a page was changed into another whole page.
    another_page: u64,
    changed_answers: u64,
}

/// The objects and their bytes, in the order of the listing.
#[derive(Default)]
struct Truth {
    bytes: BTreeMap<String, Vec<u8>>,
    listed: Vec<s3_to_mysql::object::Object>,
}

fn contents() -> BTreeMap<String, Vec<u8>> {
    let keys = ["in/a", "in/b c", "in/d+e%20", "in/f/\u{e9}", "in/g&<h>", "in/i\nj", "in/k"];
    let mut rng = Rng::with_seed(1);
    keys.into_iter()
        .enumerate()
        .map(|(number, key)| {
            let length = 20 << number;
            let text: String =
                (0..length).map(|_| rng.choose_multiple("0123456789\n".chars(), 1)[0]).collect();
            (key.to_owned(), text.into_bytes())
        })
        .collect()
}

/// The state of the case that runs, which its store's answers follow.
#[derive(Default)]
struct Case {
    rng: Option<Rng>,
    /// The numbers of the answers to change.
    targets: Vec<u64>,
    has_etags: bool,
    answered: u64,
    /// The changed answers: as they were, and as they were sent.
    sent: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Case {
    /// Returns true if no later answer is changed.
    fn is_spent(&self) -> bool {
        self.targets.iter().all(|target| *target < self.answered)
    }
}

/// The true answers by their requests.
struct Recorder {
    address: SocketAddr,
    answers: Mutex<HashMap<String, Arc<Vec<u8>>>>,
}

impl Recorder {
    async fn answer(&self, head: &str) -> Arc<Vec<u8>> {
        let head = head.replacen(
            "list-type=2",
            &format!("list-type=2&max-keys={PAGE_KEYS}"),
            usize::from(!head.contains("max-keys=")),
        );
        let request: Vec<&str> = head
            .lines()
            .filter(|line| {
                let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
                line.contains(" HTTP/1.1") || matches!(name.as_str(), "if-match" | "range")
            })
            .collect();
        let request = request.join("\n");
        if let Some(answer) = lock(&self.answers).get(&request) {
            return Arc::clone(answer);
        }
        let answer = Arc::new(forward(self.address, &head).await.unwrap_or_default());
        let mut answers = lock(&self.answers);
        if answers.len() < RECORDED {
            answers.insert(request, Arc::clone(&answer));
        }
        answer
    }

    /// Returns all answers, in an order that does not change.
    fn recorded(&self) -> Vec<Arc<Vec<u8>>> {
        let answers = lock(&self.answers);
        let mut answers: Vec<_> = answers.iter().collect();
        answers.sort_by_key(|(request, _)| request.as_str());
        answers.into_iter().map(|(_, answer)| Arc::clone(answer)).collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A store that changes answers, and a reader of it.
struct Worker {
    case: Arc<Mutex<Case>>,
    truth: Arc<Truth>,
    reader: Arc<Reader>,
    retrying: Arc<Reader>,
    _store: RawStore,
}

impl Worker {
    async fn start(
        recorder: &Arc<Recorder>,
        others: &Arc<Vec<Arc<Vec<u8>>>>,
        truth: &Arc<Truth>,
    ) -> Result<Self> {
        let case = Arc::new(Mutex::new(Case::default()));
        let (current, recorder, others) =
            (Arc::clone(&case), Arc::clone(recorder), Arc::clone(others));
        let store = RawStore::start(move |head| {
            let (case, recorder) = (Arc::clone(&current), Arc::clone(&recorder));
            let others = Arc::clone(&others);
            async move {
                let answer = recorder.answer(&head).await;
                let mut case = lock(&case);
                let number = case.answered;
                case.answered += 1;
                let answer = if case.has_etags || !head.contains("list-type=2") {
                    answer.to_vec()
                } else {
                    mutate::without_etags(&answer)
                };
                if !case.targets.contains(&number) {
                    return Answer { bytes: answer, then: Then::Close };
                }
                let Some(rng) = &mut case.rng else {
                    return Answer { bytes: answer, then: Then::Close };
                };
                let changed = mutate::change(rng, answer.clone(), &others);
                case.sent.push((answer, changed.bytes.clone()));
                changed
            }
        })
        .await?;
        let reader = Arc::new(Reader::new(store.url(), "in/", STALL_TIMEOUT, 1).await?);
        let retrying = Arc::new(Reader::new(store.url(), "in/", STALL_TIMEOUT, 2).await?);
        Ok(Self { case, truth: Arc::clone(truth), reader, retrying, _store: store })
    }

    /// Runs one case. Fails if the judge does.
    async fn run(&self, seed: u64, number: u64, tally: &mut Tally) -> Result<()> {
        let truth = &self.truth;
        // The multiplier keeps neighbouring seeds apart.
        let mut rng = Rng::with_seed(seed ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let has_etags = rng.bool();
        let answers = 3 + truth.bytes.len() as u64 * if has_etags { 1 } else { 2 };
        // The listing decides most, and comes first.
        let count = if rng.u8(..4) == 0 { rng.u64(1..4) } else { 1 };
        let targets: Vec<u64> = (0..count)
            .map(|_| if rng.bool() { rng.u64(..3) } else { rng.u64(..answers) })
            .collect();
        let reader = Arc::clone(if rng.u8(..10) == 0 { &self.retrying } else { &self.reader });
        *lock(&self.case) =
            Case { rng: Some(rng), targets, has_etags, answered: 0, sent: Vec::new() };
        // In a task of its own, because a panic is a finding.
        let (case, truth) = (Arc::clone(&self.case), Arc::clone(truth));
        let reading = tokio::spawn(async move { read(&reader, &case, &truth).await });
        let ended = tokio::time::timeout(CASE_LIMIT, reading)
            .await
            .map_err(|_| anyhow!("not ended within {CASE_LIMIT:?}"))?
            .context("a panic")??;
        let sent = std::mem::take(&mut lock(&self.case).sent);
        tally.changed_answers += sent.len() as u64;
        match ended {
            Err(code) => *tally.refused.entry(code.to_owned()).or_default() += 1,
            Ok(found) => judge(found, &self.truth.bytes, &sent, tally)?,
        }
        Ok(())
    }
}

/// The objects of a case that succeeded.
type Found = Vec<(String, Vec<u8>, Integrity)>;

/// Returns the objects, or the code of the first error.
async fn read(
    reader: &Reader,
    case: &Mutex<Case>,
    truth: &Truth,
) -> Result<std::result::Result<Found, &'static str>> {
    let listed = match reader.list().await {
        Ok(listed) => listed,
        Err(error) => return Ok(Err(error.kind.code())),
    };
    if let Some((_, error)) = listed.failed.first() {
        return Ok(Err(error.kind.code()));
    }
    let mut found = Vec::new();
    let is_true = listed.objects == truth.listed;
    for object in listed.objects {
        if is_true && lock(case).is_spent() {
            let bytes = truth.bytes[&object.key].clone();
            found.push((object.key, bytes, Integrity::Checksum));
            continue;
        }
        match reader.read(&object).await? {
            Ok((bytes, verified)) => found.push((object.key, bytes, verified)),
            Err(error) => return Ok(Err(error.kind.code())),
        }
    }
    Ok(Ok(found))
}

fn judge(
    found: Found,
    truth: &BTreeMap<String, Vec<u8>>,
    sent: &[(Vec<u8>, Vec<u8>)],
    tally: &mut Tally,
) -> Result<()> {
    let mut left = truth.clone();
    let mut is_unverified = false;
    for (key, bytes, verified) in found {
        let expected =
            left.remove(&key).with_context(|| format!("{key:?} is no object, or found twice"))?;
        if bytes != expected {
            ensure!(
                verified == Integrity::Length && bytes.len() == expected.len(),
                "{key:?} has other bytes, and is verified by {verified:?}"
            );
            is_unverified = true;
        }
    }
    if !left.is_empty() {
        ensure!(
            sent.iter().any(|(from, to)| mutate::is_another_page(from, to)),
            "not found: {:?}",
            left.keys()
        );
        tally.another_page += 1;
    } else if is_unverified {
        tally.unverified += 1;
    } else {
        tally.right += 1;
    }
    Ok(())
}

#[apply(plain_test)]
async fn no_change_of_an_answer_gives_other_objects() -> Result<()> {
    let plan = Plan::from_environment()?;
    let bytes = contents();
    let endpoint = Endpoint::start(Backend::new().with_bucket(BUCKET))?;
    endpoint.backend().allow_anonymous(BUCKET);
    let algorithms = [Algorithm::Crc64Nvme, Algorithm::Crc32, Algorithm::Sha256];
    for ((key, bytes), algorithm) in bytes.iter().zip(algorithms.into_iter().cycle()) {
        let object = Object::new(bytes.clone()).with_checksum(algorithm);
        endpoint.backend().put(BUCKET, key, object)?;
    }
    let recorder =
        Arc::new(Recorder { address: endpoint.address(), answers: Mutex::new(HashMap::new()) });

    // What is recorded, and that it is read as it is.
    let none = Arc::new(Vec::new());
    let control = Worker::start(&recorder, &none, &Arc::default()).await?;
    let mut listed = Vec::new();
    for has_etags in [true, false] {
        *lock(&control.case) = Case { has_etags, ..Case::default() };
        listed = control.retrying.list().await?.objects;
        let found = read(&control.retrying, &control.case, &Truth::default()).await?;
        let found = found.map_err(|code| anyhow!("control: {code}"))?;
        let mut tally = Tally::default();
        judge(found, &bytes, &[], &mut tally)?;
        ensure!(tally.right == 1, "the recorded answers give other objects: {tally:?}");
    }
    let others = Arc::new(recorder.recorded());
    ensure!(others.len() == 3 + 2 * bytes.len(), "{} answers were recorded", others.len());

    let truth = Arc::new(Truth { bytes, listed });
    let began = Instant::now();
    let mut workers = tokio::task::JoinSet::new();
    for first in 0..WORKERS {
        let worker = Worker::start(&recorder, &others, &truth).await?;
        let (seed, cases) = (plan.seed, plan.cases.clone());
        workers.spawn(async move {
            let mut tally = Tally::default();
            for number in cases.skip(usize::try_from(first)?).step_by(usize::try_from(WORKERS)?) {
                worker.run(seed, number, &mut tally).await.with_context(|| {
                    format!(
                        "play it again with S3_TO_MYSQL_TEST_STORE_SEED={seed} \
                         S3_TO_MYSQL_TEST_STORE_CASES={number}..{}",
                        number + 1
                    )
                })?;
            }
            anyhow::Ok(tally)
        });
    }
    let mut total = Tally::default();
    while let Some(tally) = workers.join_next().await {
        let tally = tally??;
        total.right += tally.right;
        total.unverified += tally.unverified;
        total.another_page += tally.another_page;
        total.changed_answers += tally.changed_answers;
        for (code, count) in tally.refused {
            *total.refused.entry(code).or_default() += count;
        }
    }
    if plan.is_long {
        eprintln!(
            "seed {}, cases {:?} in {:.0} s: {total:#?}",
            plan.seed,
            plan.cases,
            began.elapsed().as_secs_f64()
        );
    }
    Ok(())
}
