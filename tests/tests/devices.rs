//! Devices under the backend: what stays on them, what their failures become, and what the host checks of those of plugins.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is how a test fails")]

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use girih_cpu::Cpu;
use girih_device::OnDevice;
use girih_graph::{DType, Graph, text};
use girih_runtime::backend::{Backend, Bindings, Outputs, RunError, silent};
use girih_runtime::device::{Code, Device, DeviceError, Info, Memory, Place, RegionCall};
use girih_runtime::plugin::Library;
use girih_runtime::plugin::native::NativeCode;
use girih_runtime::tensor::Tensor;
use girih_template_device::Template;
use girih_tests::direct::{Direct, direct};

/// A loop that carries a value, a product and a gather at positions that are data.
const GRAPH: &str = "girih-graph 1
axis t time
graph g(x: f32[t, d=2], at: i64[n]) -> (y: f32[n, d=2]) {
  param w: f32[d=2, e=2]
  %0 = const 0.0 : f32
  %1 = expand %0 {axes: e} : f32[e=2]
  state s = %1 : f32[e=2]
  %2 = contract x, w {over: d} : f32[t, e=2]
  %3, %4 = recurrence {axis: t} : f32[e=2], f32[t, e=2] {
    carry %5 = s : f32[e=2]
    slice %6 = %2 : f32[e=2]
    %7 = tanh %5 : f32[e=2]
    %8 = add %7, %6 : f32[e=2]
    return %8, %8
  }
  %9 = gather %4, at {axis: t} : f32[n, e=2]
  %10 = rename %9 {axes: [e: d]} : f32[n, d=2]
  update s = %3
  return %10
}
";

fn graph() -> Graph {
    text::parse(GRAPH).unwrap_or_else(|error| panic!("{error}"))
}

fn bindings(at: &[i64]) -> Bindings {
    let x = (0..6).map(|i| i as f32 / 4.0 - 0.5).collect::<Vec<f32>>();
    Bindings::new()
        .input("x", Tensor::new([3, 2], x).unwrap())
        .input("at", Tensor::new([at.len()], at.to_vec()).unwrap())
        .param(
            "w",
            Tensor::new([2, 2], vec![0.5_f32, -1.0, 2.0, 0.25]).unwrap(),
        )
}

fn run(backend: &dyn Backend, bindings: &Bindings) -> Result<Outputs, RunError> {
    backend.compile(&graph())?.run(bindings, &mut silent)
}

#[track_caller]
fn agree(found: &Outputs, expected: &Outputs) {
    let pairs = [
        (&found.results["y"], &expected.results["y"]),
        (&found.states["s"], &expected.states["s"]),
    ];
    for (found, expected) in pairs {
        assert_eq!(found.axes, expected.axes);
        let [found, expected] = [found, expected].map(|own| own.data.to_host().unwrap());
        assert_eq!(found.shape(), expected.shape());
        for (x, y) in found.to_f64_vec().iter().zip(expected.to_f64_vec()) {
            assert!((x - y).abs() <= 1e-6, "{found:?} for {expected:?}");
        }
    }
}

/// What a device does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Right,
    NoMemory,
    Run,
    Read,
    Compile,
    Small,
}

/// The device that interprets, with a fault, and counts of what crosses.
#[derive(Debug)]
struct Faulty {
    inner: Arc<dyn Device>,
    info: Info,
    how: How,
    written: AtomicUsize,
    read: AtomicUsize,
}

impl Faulty {
    fn new(how: How) -> Arc<Self> {
        let inner = Direct::<Template>::open().unwrap();
        let mut info = inner.info().clone();
        if how == How::Small {
            info.bytes = 64;
        }
        Arc::new(Self {
            inner,
            info,
            how,
            written: AtomicUsize::new(0),
            read: AtomicUsize::new(0),
        })
    }

    fn failing(&self, when: How, code: NativeCode) -> Result<(), DeviceError> {
        if self.how != when {
            return Ok(());
        }
        Err(DeviceError {
            code,
            device: "faulty".to_owned(),
            message: format!("{when:?} went wrong"),
        })
    }
}

impl Device for Faulty {
    fn info(&self) -> &Info {
        &self.info
    }

    fn alloc(&self, bytes: u64) -> Result<Memory, DeviceError> {
        self.failing(How::NoMemory, NativeCode::Memory)?;
        self.inner.alloc(bytes)
    }

    fn write(&self, to: Place<'_>, from: &[u8]) -> Result<(), DeviceError> {
        self.written.fetch_add(from.len(), Ordering::Relaxed);
        self.inner.write(to, from)
    }

    fn read(&self, from: Place<'_>, to: &mut [u8]) -> Result<(), DeviceError> {
        self.failing(How::Read, NativeCode::Internal)?;
        self.read.fetch_add(to.len(), Ordering::Relaxed);
        self.inner.read(from, to)
    }

    fn copy(&self, to: Place<'_>, from: Place<'_>, bytes: u64) -> Result<(), DeviceError> {
        self.inner.copy(to, from, bytes)
    }

    fn wait(&self) -> Result<(), DeviceError> {
        self.inner.wait()
    }

    fn compile(&self, text: &str) -> Result<Code, DeviceError> {
        self.failing(How::Compile, NativeCode::Internal)?;
        self.inner.compile(text)
    }

    fn run(&self, code: &Code, call: &RegionCall<'_>) -> Result<(), DeviceError> {
        self.failing(How::Run, NativeCode::Internal)?;
        self.inner.run(code, call)
    }
}

fn over(device: Arc<dyn Device>) -> OnDevice {
    OnDevice::new("faulty", device, Cpu::default())
}

#[test]
fn a_device_gives_what_the_processor_gives() {
    let expected = run(&Cpu::default(), &bindings(&[2, 0])).unwrap();
    agree(
        &run(&direct::<Template>(), &bindings(&[2, 0])).unwrap(),
        &expected,
    );
    let explained = direct::<Template>().explain(&graph()).unwrap();
    let said = explained.to_string();
    assert!(
        said.contains("loop: walked by the host: loops: there is no code for them")
            && said.contains("product: processor: products of matrices: there is no code for them"),
        "{said}"
    );
    let (taken, all) = explained.counts();
    assert!(0 < taken && taken < all, "{said}");
}

#[test]
fn failures_have_names_and_the_host_goes_on() {
    for (how, said) in [
        (How::NoMemory, "device `faulty`: NoMemory went wrong"),
        (How::Run, "device `faulty`: Run went wrong"),
        (How::Read, "device `faulty`: Read went wrong"),
        (How::Compile, "device `faulty`: Compile went wrong"),
        (How::Small, "bytes where 64 are allowed"),
    ] {
        let error = run(&over(Faulty::new(how)), &bindings(&[0])).unwrap_err();
        assert!(error.to_string().contains(said), "{how:?}: {error}");
    }
    let expected = run(&Cpu::default(), &bindings(&[1])).unwrap();
    let found = run(&over(Faulty::new(How::Right)), &bindings(&[1])).unwrap();
    agree(&found, &expected);
}

#[test]
fn a_read_outside_is_the_same_error_as_on_the_processor() {
    for at in [[3], [-1]] {
        let [found, expected] = [&direct::<Template>() as &dyn Backend, &Cpu::default()]
            .map(|backend| run(backend, &bindings(&at)).unwrap_err());
        assert!(matches!(found, RunError::Position { .. }), "{found}");
        assert_eq!(found.to_string(), expected.to_string());
    }
    // What failed leaves nothing behind.
    let executable = direct::<Template>().compile(&graph()).unwrap();
    assert!(executable.run(&bindings(&[7]), &mut silent).is_err());
    assert!(executable.run(&bindings(&[2]), &mut silent).is_ok());
}

#[test]
fn limits_hold_and_runs_can_be_broken_off() {
    let mut small = bindings(&[0]);
    small.limit = 16;
    let error = run(&direct::<Template>(), &small).unwrap_err();
    assert!(matches!(error, RunError::Memory { .. }), "{error}");
    let executable = direct::<Template>().compile(&graph()).unwrap();
    let expected = executable.run(&bindings(&[0]), &mut silent).unwrap();
    for stop in 0..4 {
        let mut calls = 0;
        let broken = executable.run(&bindings(&[0]), &mut |_| {
            calls += 1;
            if calls > stop {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        assert!(matches!(broken, Err(RunError::Cancelled)));
        agree(
            &executable.run(&bindings(&[0]), &mut silent).unwrap(),
            &expected,
        );
    }
}

/// Without anything that the device refuses.
const STEP: &str = "girih-graph 1
graph g(x: f32[d=64]) -> (y: f32[d=64]) {
  param w: f32[d=64]
  state s = x : f32[d=64]
  %0 = mul s, w : f32[d=64]
  %1 = add %0, x : f32[d=64]
  update s = %1
  return %1
}
";

#[test]
fn states_and_parameters_stay_on_the_device() {
    let device = Faulty::new(How::Right);
    let (graph, plain) = (text::parse(STEP).unwrap(), Cpu::default());
    let ones = || Tensor::new([64], vec![1.0_f32; 64]).unwrap();
    let half = |_: &str| Ok(Tensor::new([64], vec![0.5_f32; 64]).unwrap());
    let executable = over(Arc::clone(&device) as Arc<dyn Device>)
        .compile(&graph)
        .unwrap();
    let params = executable.load(&mut half.clone(), &mut silent).unwrap();
    let (mut given, mut same) = (
        Bindings::new(),
        Bindings::new().param("w", half("").unwrap()),
    );
    given.params = params;
    let expected = plain.compile(&graph).unwrap();
    for _ in 0..3 {
        let before = device.written.load(Ordering::Relaxed);
        let outputs = executable
            .run(&given.clone().input("x", ones()), &mut silent)
            .unwrap();
        let own = expected
            .run(&same.clone().input("x", ones()), &mut silent)
            .unwrap();
        // The input, and the place of guards.
        let written = device.written.load(Ordering::Relaxed) - before;
        assert_eq!(written, 64 * 4 + 32);
        assert_eq!(device.read.load(Ordering::Relaxed), 0, "nothing came back");
        given.advance(&outputs);
        same.advance(&own);
    }
    let [found, expected] = [&given, &same].map(|own| own.states["s"].to_host().unwrap());
    assert_eq!(found, expected);
    // Another backend takes what lies on the device.
    let mut mixed = same.clone().input("x", ones());
    mixed.states.clone_from(&given.states);
    assert!(expected_state(&*plain.compile(&graph).unwrap(), &mixed) > 1.0);
}

#[test]
fn parameters_of_sixteen_bits_are_widened_on_the_device() {
    let device = Faulty::new(How::Right);
    let graph = text::parse(STEP).unwrap();
    let executable = over(Arc::clone(&device) as Arc<dyn Device>)
        .compile(&graph)
        .unwrap();
    for dtype in [DType::BF16, DType::F16] {
        let numbers: Vec<f32> = (0..64_u8).map(|at| f32::from(at) / 8.0 - 3.0).collect();
        let narrow = |_: &str| Ok(Tensor::new([64], numbers.clone())?.to_dtype(dtype));
        let before = device.written.load(Ordering::Relaxed);
        let params = executable.load(&mut narrow.clone(), &mut silent).unwrap();
        let written = device.written.load(Ordering::Relaxed) - before;
        assert_eq!(written, 64 * 2);
        let found = params["w"].to_host().unwrap();
        assert_eq!(found, Tensor::new([64], numbers.clone()).unwrap());
    }
}

/// Two kernels: what the second reads is at positions that are data.
const NEIGHBORS: &str = "girih-graph 1
axis t time
graph g(x: f32[t, d=2], at: i64[n]) -> (y: f32[n], s: f32[d=2]) {
  %0 = reduce x {combine: sum, over: d} : f32[t]
  %1 = gather %0, at {axis: t} : f32[n]
  %2 = reduce x {combine: max, over: t} : f32[d=2]
  return %1, %2
}
";

#[test]
fn neighbors_are_one_region() {
    let graph = text::parse(NEIGHBORS).unwrap();
    let device = direct::<Template>();
    let explained = device.explain(&graph).unwrap();
    let (taken, all) = explained.counts();
    assert!(taken == all && all > 1, "{explained}");
    assert_eq!(explained.regions, 1);
    let given = |at: i64| {
        Bindings::new()
            .input(
                "x",
                Tensor::new([2, 2], vec![1.0_f32, 2.0, 3.0, 5.0]).unwrap(),
            )
            .input("at", Tensor::new([1], vec![at]).unwrap())
    };
    let executable = device.compile(&graph).unwrap();
    let outputs = executable.run(&given(1), &mut silent).unwrap();
    let of = |name: &str| outputs.results[name].data.to_host().unwrap().to_f64_vec();
    assert_eq!((of("y"), of("s")), (vec![8.0], vec![3.0, 5.0]));
    // A guard of a later launch has its own name.
    let error = executable.run(&given(2), &mut silent).unwrap_err();
    let plain = Cpu::default().compile(&graph).unwrap();
    let expected = plain.run(&given(2), &mut silent).unwrap_err();
    assert_eq!(error.to_string(), expected.to_string());
}

/// A product, which the device refuses.
const PRODUCT: &str = "girih-graph 1
graph g(x: f32[t, d=8]) -> (y: f32[t, e=16]) {
  param w: f32[d=8, e=16]
  %0 = contract x, w {over: d} : f32[t, e=16]
  return %0
}
";

#[test]
fn weights_of_refused_products_come_back_once() {
    let device = Faulty::new(How::Right);
    let graph = text::parse(PRODUCT).unwrap();
    let weight = |_: &str| Ok(Tensor::new([8, 16], vec![0.25_f32; 128]).unwrap());
    let executable = over(Arc::clone(&device) as Arc<dyn Device>)
        .compile(&graph)
        .unwrap();
    let params = executable.load(&mut weight.clone(), &mut silent).unwrap();
    let mut read = Vec::new();
    for number in [1.0_f32, 2.0] {
        let before = device.read.load(Ordering::Relaxed);
        let mut given = Bindings::new().input("x", Tensor::new([1, 8], vec![number; 8]).unwrap());
        given.params = Arc::clone(&params);
        let outputs = executable.run(&given, &mut silent).unwrap();
        read.push(device.read.load(Ordering::Relaxed) - before);
        let y = outputs.results["y"].data.to_host().unwrap();
        assert_eq!(y.to_f64_vec(), [f64::from(number) * 2.0; 16]);
    }
    assert_eq!(read[0] - read[1], 8 * 16 * 4, "{read:?}");
}

fn expected_state(executable: &dyn girih_runtime::backend::Executable, bindings: &Bindings) -> f64 {
    let outputs = executable.run(bindings, &mut silent).unwrap();
    outputs.states["s"].data.to_host().unwrap().to_f64_vec()[0]
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The device in C, broken in a way.
fn broken(folder: &Path, how: &str, flags: &[&str]) -> PathBuf {
    let library = folder.join(format!("{how}{}", std::env::consts::DLL_SUFFIX));
    let output = Command::new("cc")
        .args([
            "-std=c99", "-Wall", "-Wextra", "-Werror", "-O1", "-shared", "-fPIC",
        ])
        .arg(format!("-DBROKEN={how}"))
        .args(flags)
        .arg("-I")
        .arg(root().join("plugins/api/include"))
        .arg("-o")
        .arg(&library)
        .arg(root().join("tests/data/plugins/device.c"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    library
}

#[test]
fn tables_of_devices_are_checked_when_they_are_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let check = |how: &str, said: &str| match Library::open(&broken(folder.path(), how, &[])) {
        Err(error) => assert!(error.to_string().contains(said), "{how}: {error}"),
        Ok(_) => panic!("{how} loads"),
    };
    check("SMALL_DEVICES", "the `struct_size` of `girih_devices` is 4");
    check("HUGE_COUNT", "claims 4294967295 devices");
    check("NULL_LIST", "claims 1 devices, and `devices` is null");
    check("NULL_TABLE", "device 0: the table `girih_device` is null");
    check("SMALL_TABLE", "the `struct_size` of `girih_device` is 16");
    check("NULL_NAME", "device 0: its name is null");
    check("SHOUTING_NAME", "`SLATE` is no name of a device");
    check("HOST_NAME", "`cpu` is no name of a device");
    check("TWICE", "two devices are called `slate`");
    for field in [
        "score", "open", "describe", "alloc", "free", "write", "read", "copy", "compile", "run",
    ] {
        let how = format!("NULL_{}", field.to_uppercase());
        check(&how, &format!("device 0: `{field}` is null"));
    }
}

#[test]
fn devices_that_cannot_serve_say_why() {
    let folder = tempfile::tempdir().unwrap();
    let score = |how: &str| {
        let library = Library::open(&broken(folder.path(), how, &[])).unwrap();
        library.score("slate").unwrap()
    };
    assert_eq!(score("NONE"), Ok(0.5));
    for (how, said) in [
        ("NO_DRIVER", "there is no driver"),
        ("NAN_SCORE", "it says that its score is"),
        ("ZERO_SCORE", "it says that its score is 0"),
        ("STRAY_SCORE", "a status that the host did not make"),
    ] {
        let error = score(how).unwrap_err().to_string();
        assert!(error.contains(said), "{how}: {error}");
    }
    let library = Library::open(&broken(folder.path(), "NONE", &[])).unwrap();
    assert!(library.score("chalk").is_none());
    assert!(library.open_device("chalk", 0).is_none());
}

#[test]
fn what_devices_of_plugins_do_wrong_ends_the_run_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let attempt = |how: &str| {
        let library = Library::open(&broken(folder.path(), how, &[])).unwrap();
        let device = library.open_device("slate", 0).unwrap()?;
        let backend = OnDevice::new("slate", Arc::new(device), Cpu::default());
        run(&backend, &bindings(&[2, 1]))
    };
    for (how, said) in [
        ("OPEN_FAILS", "there is no such device"),
        ("DESCRIBE_FAILS", "it does not answer"),
        ("BAD_INFO_NAME", "its name is no UTF-8 that ends with zero"),
        (
            "ENDLESS_INFO_NAME",
            "its name is no UTF-8 that ends with zero",
        ),
        ("NO_MEMORY", "it is full"),
        ("NOTHING_FOR_MEMORY", "it gave nothing for memory of"),
        ("WRITE_FAILS", "the bus is broken"),
        ("READ_FAILS", "the bus is broken"),
        ("STRAY_READ", "a status that the host did not make"),
        ("COMPILE_FAILS", "the compiler is broken"),
        ("RUN_FAILS", "it caught fire"),
    ] {
        let error = attempt(how).unwrap_err().to_string();
        assert!(
            error.contains(said) && error.contains("device `slate`"),
            "{how}: {error}"
        );
    }
    // One that has no code for anything still runs the model.
    let expected = run(&Cpu::default(), &bindings(&[2, 1])).unwrap();
    agree(&attempt("NONE").unwrap(), &expected);
    let library = Library::open(&broken(folder.path(), "NONE", &[])).unwrap();
    let error = library.open_device("slate", 1).unwrap().unwrap_err();
    assert_eq!(error.code, NativeCode::Invalid);
}

#[test]
fn memory_is_its_device_s_own_and_has_an_end() {
    let folder = tempfile::tempdir().unwrap();
    let library = Library::open(&broken(folder.path(), "NONE", &[])).unwrap();
    let open = || library.open_device("slate", 0).unwrap().unwrap();
    let (one, other) = (open(), open());
    let memory = one.alloc(16).unwrap();
    let place = |offset| Place {
        memory: &memory,
        offset,
    };
    one.write(place(4), &[1; 12]).unwrap();
    let refused = |said: Result<(), DeviceError>, wanted: &str| {
        let error = said.unwrap_err();
        assert!(error.message.contains(wanted), "{error}");
    };
    refused(one.write(place(5), &[0; 12]), "12 bytes from 5 on of 16");
    refused(one.read(place(17), &mut []), "0 bytes from 17 on of 16");
    refused(one.read(place(u64::MAX), &mut [0]), "bytes from");
    refused(one.copy(place(8), place(0), 9), "9 bytes from 8 on of 16");
    refused(other.write(place(0), &[1]), "memory of another device");
    for bytes in [0, u64::MAX] {
        assert_eq!(one.alloc(bytes).unwrap_err().code, NativeCode::Memory);
    }
    // Memory keeps its device open.
    drop(one);
    drop(memory);
}

#[test]
fn hosts_and_plugins_of_older_minors_have_no_devices() {
    let folder = tempfile::tempdir().unwrap();
    let path = broken(folder.path(), "NONE", &[]);
    let older = girih_runtime::plugin::Speak { major: 0, minor: 1 };
    assert_eq!(Library::open_as(&path, older).unwrap().devices().count(), 0);
    assert_eq!(Library::open(&path).unwrap().devices().count(), 1);
}

/// The device has no code for products: the host widens the factors that the plan keeps narrow for devices.
#[test]
fn narrow_factors_are_widened_by_the_host() {
    let device = Direct::<Template>::open().unwrap();
    girih_tests::narrow::check(&OnDevice::new("template", device, Cpu::default()));
}
