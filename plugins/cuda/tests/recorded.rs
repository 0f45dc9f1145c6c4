//! Runs that come again are recorded, and give what they gave.

#![expect(unsafe_code, reason = "a driver is asked as the plugin does")]
#![expect(clippy::unwrap_used, reason = "a failed unwrap is how a test fails")]

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use girih_cuda::device::{Gpu, Settings};
use girih_cuda::driver::emulator::Emulator;
use girih_cuda::driver::product::Shape;
use girih_cuda::driver::{Call, Driver, DriverError, Grid, Info, Module, Recorded};
use girih_cuda::run::Products;
use girih_cuda::source::Program;
use girih_graph::text;
use girih_plan::plan::TensorId;
use girih_plan::region::Region;
use girih_plugin::device::{Device, Place, RegionCall};

/// The emulator, with counts of what is asked.
struct Counting {
    inner: Emulator,
    compiled: AtomicUsize,
    launched: AtomicUsize,
    recorded: AtomicUsize,
    /// Of these, those that are no grids.
    products: AtomicUsize,
    /// Whether it has products at all.
    multiplies: bool,
    changed: Arc<Changes>,
}

/// Launches of recordings that became others.
#[derive(Default)]
struct Changes {
    count: AtomicUsize,
    /// Whether the driver cannot.
    refused: AtomicBool,
}

/// A recording whose changes are counted.
struct Counted(Box<dyn Recorded>, Arc<Changes>);

impl Recorded for Counted {
    unsafe fn replay(&self) -> Result<(), DriverError> {
        // SAFETY: as the caller vouches.
        unsafe { self.0.replay() }
    }

    unsafe fn change(&self, at: usize, grid: &Grid) -> Result<(), DriverError> {
        if self.1.refused.load(Ordering::Relaxed) {
            return Err(DriverError::Call {
                what: "changing a recorded launch",
                why: "not today".to_owned(),
            });
        }
        self.1.count.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as the caller vouches.
        unsafe { self.0.change(at, grid) }
    }
}

/// The emulator, counted; where there is no compiler for it, that is said.
fn counting(multiplies: bool) -> Option<Arc<Counting>> {
    let inner = Emulator::new().inspect_err(|error| {
        let said = format!("SKIPPED: nothing is recorded: {error}\n");
        // Past the test harness, which keeps what passing tests print.
        std::io::stderr().write_all(said.as_bytes()).unwrap();
    });
    Some(Arc::new(Counting {
        inner: inner.ok()?,
        compiled: AtomicUsize::default(),
        launched: AtomicUsize::default(),
        recorded: AtomicUsize::default(),
        products: AtomicUsize::default(),
        multiplies,
        changed: Arc::default(),
    }))
}

impl Counting {
    fn count(&self, calls: &[Call]) {
        let products = calls.iter().filter(|own| matches!(own, Call::Product(_)));
        self.products.fetch_add(products.count(), Ordering::Relaxed);
    }

    /// Launched, recorded, and products among both, since they were asked for.
    fn counts(&self) -> [usize; 3] {
        let all = [&self.launched, &self.recorded, &self.products];
        all.map(|own| own.swap(0, Ordering::Relaxed))
    }
}

impl Driver for Counting {
    fn info(&self) -> &Info {
        self.inner.info()
    }

    fn alloc(&self, bytes: u64) -> Result<u64, DriverError> {
        self.inner.alloc(bytes)
    }

    unsafe fn free(&self, address: u64, bytes: u64) {
        // SAFETY: as the caller vouches.
        unsafe { self.inner.free(address, bytes) };
    }

    unsafe fn write(&self, to: u64, from: &[u8]) -> Result<(), DriverError> {
        // SAFETY: as the caller vouches.
        unsafe { self.inner.write(to, from) }
    }

    unsafe fn read(&self, from: u64, to: &mut [u8]) -> Result<(), DriverError> {
        // SAFETY: as the caller vouches.
        unsafe { self.inner.read(from, to) }
    }

    unsafe fn copy(&self, to: u64, from: u64, bytes: u64) -> Result<(), DriverError> {
        // SAFETY: as the caller vouches.
        unsafe { self.inner.copy(to, from, bytes) }
    }

    fn wait(&self) -> Result<(), DriverError> {
        self.inner.wait()
    }

    fn compile(&self, program: &Program) -> Result<Arc<dyn Module>, DriverError> {
        self.compiled.fetch_add(1, Ordering::Relaxed);
        self.inner.compile(program)
    }

    fn multiplies(&self, shape: &Shape) -> bool {
        self.multiplies && self.inner.multiplies(shape)
    }

    unsafe fn launch(&self, call: &Call) -> Result<(), DriverError> {
        self.launched.fetch_add(1, Ordering::Relaxed);
        self.count(std::slice::from_ref(call));
        // SAFETY: as the caller vouches.
        unsafe { self.inner.launch(call) }
    }

    unsafe fn record(&self, calls: &[Call]) -> Result<Box<dyn Recorded>, DriverError> {
        self.recorded.fetch_add(calls.len(), Ordering::Relaxed);
        self.count(calls);
        // SAFETY: as the caller vouches.
        let recorded = unsafe { self.inner.record(calls) }?;
        Ok(Box::new(Counted(recorded, Arc::clone(&self.changed))))
    }
}

/// Two layers of a loop's step: equal but for their buffers, each with a guard.
const STEP: &str = "girih-graph 1
axis t
graph g(x: f32[t], at: i64[n]) -> (y: f32[n], z: f32[n]) {
  %0 = cumulate x {axis: t, combine: sum} : f32[t]
  %1 = gather %0, at {axis: t} : f32[n]
  %2 = cumulate %0 {axis: t, combine: sum} : f32[t]
  %3 = gather %2, at {axis: t} : f32[n]
  return %1, %3
}
";

#[test]
fn what_comes_again_is_recorded() {
    let Some(driver) = counting(true) else {
        return;
    };
    let gpu = Gpu::over(Arc::clone(&driver) as Arc<dyn Driver>);
    let plan = girih_plan::lower(&text::parse(STEP).unwrap());
    let (root, count) = (&plan.root, plan.root.launches.len());
    let compile = |launches| {
        let (region, buffers) = Region::new(&plan, root, launches).unwrap();
        (gpu.compile(&region.to_text()).unwrap(), region, buffers)
    };
    for at in 0..count {
        compile(at..at + 1);
    }
    let compiled = || driver.compiled.load(Ordering::Relaxed);
    let alone = compiled();
    assert!(alone < count, "equal layers are compiled once");
    let (code, region, buffers) = compile(0..count);
    assert_eq!(compiled(), alone, "neighbors are made of what is there");

    let result = |at: usize| root.tensors[plan.results[at].tensor.index()].buffer;
    let given = |at: usize| root.tensors[plan.given[at].tensor.index()].buffer;
    let memory: Vec<_> = buffers.iter().map(|_| gpu.alloc(64).unwrap()).collect();
    let failure = gpu.alloc(32).unwrap();
    let place = |memory| Place { memory, offset: 0 };
    let of = |buffer| {
        let at = buffers.iter().position(|own| *own == buffer).unwrap();
        place(&memory[at])
    };
    // Positions of `t` and `n`, in the order of the region's symbols.
    let run = |t: i64, n: i64, at: [i64; 2]| {
        let x: Vec<u8> = (1..=16_u8)
            .flat_map(|x| f32::from(x).to_ne_bytes())
            .collect();
        gpu.write(of(given(0)), &x).unwrap();
        gpu.write(of(given(1)), &at.map(i64::to_ne_bytes).concat())
            .unwrap();
        gpu.write(place(&failure), &[0; 32]).unwrap();
        let sizes = region.symbols.iter();
        let symbols = sizes.map(|own| if &**own == "t" { t } else { n });
        let call = RegionCall {
            buffers: memory.iter().map(place).collect(),
            symbols: &symbols.collect::<Vec<i64>>(),
            failure: place(&failure),
        };
        gpu.run(&code, &call).unwrap();
        let mut told = [0; 32];
        gpu.read(place(&failure), &mut told).unwrap();
        let both = [0, 1].map(|at| {
            let mut bytes = [0; 4];
            gpu.read(of(result(at)), &mut bytes).unwrap();
            f32::from_ne_bytes(bytes)
        });
        let word = |at: usize| i64::from_ne_bytes(told[at * 8..at * 8 + 8].try_into().unwrap());
        (both, [word(0), word(1), word(3)])
    };
    let counts = || {
        let [launched, recorded, _] = driver.counts();
        [launched, recorded]
    };
    let (right, none) = (([6.0, 10.0], [0, 0, 0]), 0);
    assert_eq!(run(3, 1, [2, 0]), right);
    let [launched, recorded] = counts();
    assert!(launched >= count && recorded == none);
    assert_eq!(run(3, 1, [2, 0]), right);
    assert_eq!(counts(), [0, launched], "the second time they are recorded");
    assert_eq!(run(3, 1, [1, 0]), ([3.0, 4.0], [0, 0, 0]));
    assert_eq!(counts(), [0, 0], "and then replayed");
    assert_eq!(run(2, 1, [1, 0]), ([3.0, 4.0], [0, 0, 0]));
    assert!(counts()[0] > 0, "other sizes are another run");
    assert_eq!(run(3, 1, [2, 0]), right);
    assert_eq!(counts(), [0, 0], "the first one is still known");
    // Guards have the numbers of their launches in the region.
    let (_, [status, position, launch]) = run(3, 1, [7, 0]);
    assert!(status > 0 && position == 7 && launch == 0);

    // Over what grows the third new run in a row is recorded, and what differs is changed in the next ones.
    let changes = || driver.changed.count.swap(0, Ordering::Relaxed);
    let grown = |t: i64| {
        let (found, failure) = run(t, 1, [t - 1, 0]);
        let (sum, sums) = (t * (t + 1) / 2, t * (t + 1) * (t + 2) / 6);
        assert_eq!((found, failure), ([sum as f32, sums as f32], [0, 0, 0]));
        (counts(), changes())
    };
    counts();
    assert_eq!(grown(4), ([launched, 0], 0));
    assert_eq!(grown(5), ([launched, 0], 0));
    assert_eq!(grown(6), ([0, launched], 0));
    for t in 7..=9 {
        let ([asked, recorded], changed) = grown(t);
        assert_eq!((asked, recorded), (0, 0));
        assert!((1..=launched).contains(&changed), "{changed}");
    }
    assert_eq!(grown(9), ([0, launched], 0), "it came again");
    assert_eq!(grown(9), ([0, 0], 0));
    assert!(grown(10).1 > 0, "and grows on");
    // A driver that cannot is asked for each launch.
    driver.changed.refused.store(true, Ordering::Relaxed);
    for t in 11..=14 {
        assert_eq!(grown(t), ([launched, 0], 0));
    }
}

/// Two products that are worth a call, and what is between them.
const PRODUCTS: &str = "girih-graph 1
axis t
graph g(x: f32[t, d=64], w: f32[e=64, d=64], v: f32[f=64, e=64]) -> (y: f32[t, f=64]) {
  %0 = contract x, w {over: d} : f32[t, e=64]
  %1 = tanh %0 : f32[t, e=64]
  %2 = contract %1, v {over: e} : f32[t, f=64]
  return %2
}
";

/// Positions of `t`.
const ROWS: usize = 32;

/// Three runs of the products: how many calls each asked for, and its results.
fn three_runs(driver: &Arc<Counting>, settings: Settings) -> ([[usize; 3]; 3], Vec<f32>) {
    let gpu = Gpu::with(Arc::clone(driver) as Arc<dyn Driver>, settings);
    let plan = girih_plan::lower(&text::parse(PRODUCTS).unwrap());
    let (root, count) = (&plan.root, plan.root.launches.len());
    let (region, buffers) = Region::new(&plan, root, 0..count).unwrap();
    let code = gpu.compile(&region.to_text()).unwrap();
    let memory: Vec<_> = buffers
        .iter()
        .map(|_| gpu.alloc(64 * 64 * 4).unwrap())
        .collect();
    let failure = gpu.alloc(32).unwrap();
    let place = |memory| Place { memory, offset: 0 };
    let of = |tensor: TensorId| {
        let own = root.tensors[tensor.index()].buffer;
        let at = buffers.iter().position(|buffer| *buffer == own).unwrap();
        place(&memory[at])
    };
    for (number, given) in plan.given.iter().enumerate() {
        let content = (0..64 * 64).map(|at| ((at * 7 + number * 5) % 13) as f32 / 64.0 - 0.1);
        let content: Vec<u8> = content.flat_map(f32::to_ne_bytes).collect();
        gpu.write(of(given.tensor), &content).unwrap();
    }
    gpu.write(place(&failure), &[0; 32]).unwrap();
    assert_eq!(region.symbols.len(), 1);
    let call = RegionCall {
        buffers: memory.iter().map(place).collect(),
        symbols: &[ROWS as i64],
        failure: place(&failure),
    };
    driver.counts();
    let mut results = Vec::new();
    let counts = [(); 3].map(|()| {
        let mut bytes = vec![255; ROWS * 64 * 4];
        gpu.write(of(plan.results[0].tensor), &bytes).unwrap();
        gpu.run(&code, &call).unwrap();
        gpu.read(of(plan.results[0].tensor), &mut bytes).unwrap();
        let numbers = bytes
            .chunks(4)
            .map(|own| f32::from_ne_bytes(own.try_into().unwrap()));
        results.push(numbers.collect::<Vec<f32>>());
        driver.counts()
    });
    assert!(results.iter().all(|own| *own == results[0]));
    (counts, results.remove(0))
}

#[test]
fn products_are_recorded_with_what_is_between_them() {
    let Some(driver) = counting(true) else {
        return;
    };
    let (counts, results) = three_runs(&driver, Settings::default());
    assert_eq!(counts, [[3, 0, 2], [0, 3, 2], [0, 0, 0]]);
    let off = Settings {
        products: Products::Off,
        ..Settings::default()
    };
    let Some(lacking) = counting(false) else {
        return;
    };
    // A driver without products, and one whose products nobody wants: generated code computes them.
    for (driver, settings) in [(lacking, Settings::default()), (driver, off)] {
        let (counts, generated) = three_runs(&driver, settings);
        assert_eq!(counts, [[3, 0, 0], [0, 3, 0], [0, 0, 0]]);
        let pairs = results.iter().zip(&generated);
        assert!(
            generated.len() == 32 * 64 && pairs.into_iter().all(|(x, y)| (x - y).abs() <= 1e-5)
        );
    }
}
