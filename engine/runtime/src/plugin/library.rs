//! Loads a plugin's library and checks every table that it gives.
//!
//! What is checked can be: sizes, nulls, counts, texts, names, versions. A library that lies about its code – writes where
//! it may not, never returns – is found by `girih plugin check`, in processes of their own. Libraries are never unloaded;
//! what a plugin made when it began is ended with the last that uses it.
#![expect(unsafe_code, reason = "loads libraries and reads their tables")]

use std::collections::BTreeSet;
use std::ffi::{c_char, c_void};
use std::fs::File;
use std::mem::{MaybeUninit, offset_of};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use girih_plugin::raw;

use super::device::{Kind, PluginDevice, read_devices, score};
use super::error::PluginError;
use super::host::{HOST, NAME, bounded, taken, with_memory};
use super::note::Note;
use crate::device::DeviceError;

/// The most operations of one plugin.
const MOST_OPS: u32 = 4096;

/// The longest name, in bytes.
pub(super) const NAME_LIMIT: usize = 128;

/// The minor version that brought devices.
const DEVICES_SINCE: u16 = 2;

/// No struct of the border will ever be larger.
const SIZE_LIMIT: u32 = 1 << 16;

/// Capabilities that this host has for plugins that need them.
const OFFERED: &[&str] = &["girih.op/1", "girih.device/1"];

/// A version that a host speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Speak {
    /// Must be the plugin's.
    pub major: u16,
    /// Tables are those of the smaller minor.
    pub minor: u16,
}

impl Speak {
    /// This host's.
    pub const OURS: Self = Self {
        major: raw::MAJOR,
        minor: raw::MINOR,
    };
}

/// A plugin that is loaded and whose tables hold what the border asks.
#[derive(Debug)]
pub struct Library {
    note: Note,
    path: PathBuf,
    source: String,
    ops: Vec<Entry>,
    devices: Vec<Kind>,
    started: Started,
    minor: u16,
}

/// A plugin that began, and ends when this is dropped. Kernels and devices share the library that has it.
#[derive(Debug)]
struct Started {
    state: *mut c_void,
    deinit: Option<unsafe extern "C" fn(*mut c_void)>,
}

// SAFETY: the plugin's state is only handed back to functions that any thread may call, several at once.
unsafe impl Send for Started {}
// SAFETY: as above.
unsafe impl Sync for Started {}

impl Drop for Started {
    fn drop(&mut self) {
        if let Some(deinit) = self.deinit {
            // SAFETY: once, with what `init` made; whoever used it is gone, and any thread may ask.
            unsafe { deinit(self.state) };
        }
    }
}

/// One operation's functions.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) flags: u32,
    pub(super) prepare: raw::PrepareFn,
    pub(super) run: raw::RunFn,
    pub(super) release: Option<raw::ReleaseFn>,
    pub(super) cost: Option<raw::CostFn>,
}

impl Library {
    /// Loads a library. Runs its code: nobody but the caller has asked whether a person agreed.
    ///
    /// # Errors
    ///
    /// Whatever is wrong with the note, the file, or a table.
    pub fn open(path: &Path) -> Result<Arc<Self>, PluginError> {
        Self::open_as(path, Speak::OURS)
    }

    /// Loads a library if its note, which holds the hash of the file, is `agreed` to. On Linux it is the file with this
    /// hash that is loaded, whatever lies at its path by then. Elsewhere the system opens the path again, and everywhere
    /// whoever may write the file may do so between the two.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open), and what `agreed` says.
    pub fn open_if(
        path: &Path,
        agreed: &dyn Fn(&Note) -> Result<(), PluginError>,
    ) -> Result<Arc<Self>, PluginError> {
        let (note, file) = Note::opened(path)?;
        agreed(&note)?;
        Self::of(path, note, file, Speak::OURS)
    }

    /// Loads a library as an older or newer host would, for `girih plugin check`.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_as(path: &Path, speak: Speak) -> Result<Arc<Self>, PluginError> {
        let (note, file) = Note::opened(path)?;
        Self::of(path, note, file, speak)
    }

    fn of(path: &Path, note: Note, file: File, speak: Speak) -> Result<Arc<Self>, PluginError> {
        note.suits()?;
        let id = note.id.clone();
        let broken = |problem: String| PluginError::Broken {
            id: id.clone(),
            problem,
        };
        let query = find_query(path, file, &id)?;
        let Some(table) = ask(query, speak) else {
            return Err(PluginError::Version {
                id: id.clone(),
                speaks: note.speaks(),
                host: format!("{}.{}", speak.major, speak.minor),
                remedy: "`girih_plugin_query` gave nothing; get another build of the plugin",
            });
        };
        // SAFETY: the plugin gave it as its table.
        let table = unsafe { read_sized(table, &[size_of::<raw::Plugin>()], "girih_plugin") };
        let table = table.map_err(broken)?;
        if table.major != speak.major || table.minor > speak.minor {
            return Err(broken(format!(
                "asked for version {}.{}, it answers {}.{}",
                speak.major, speak.minor, table.major, table.minor
            )));
        }
        // SAFETY: the plugin gave it as its note.
        unsafe { check_note(table.note, &note) }.map_err(broken)?;
        // SAFETY: the plugin gave it as its text.
        let source = unsafe { read_text(table.source, raw::SOURCE_LIMIT, "`source`") };
        let source = source.map_err(broken)?;
        // SAFETY: the plugin gave it as its list of needs.
        if let Some(capability) = unsafe { first_unknown(table.needs) }.map_err(broken)? {
            return Err(PluginError::Needs { id, capability });
        }
        let get = table
            .get
            .ok_or_else(|| broken("`get` is null".to_owned()))?;
        let started = start(&table, &note)?;
        let state = started.state;
        // SAFETY: after `init`, with a text that ends with zero.
        let ops = unsafe { get(state, raw::OPS.as_ptr()) };
        // SAFETY: the plugin gave it as the table of its operations.
        let ops = unsafe { read_ops(ops.cast()) }.map_err(broken)?;
        let mut devices = Vec::new();
        if table.minor >= DEVICES_SINCE {
            // SAFETY: after `init`, with a text that ends with zero.
            let table = unsafe { get(state, raw::DEVICES.as_ptr()) };
            // SAFETY: the plugin gave it as the table of its devices.
            devices = unsafe { read_devices(table.cast()) }.map_err(broken)?;
        }
        Ok(Arc::new(Self {
            note,
            path: path.to_owned(),
            source,
            ops,
            devices,
            started,
            minor: table.minor,
        }))
    }

    /// Who it is.
    pub fn note(&self) -> &Note {
        &self.note
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its text in the Girih language.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Minor version that its tables speak.
    pub fn minor(&self) -> u16 {
        self.minor
    }

    /// Names of its operations, in its order.
    pub fn operations(&self) -> impl Iterator<Item = &str> {
        self.ops.iter().map(|op| op.name.as_str())
    }

    /// Where an operation stands: `topk@1` is `topk`.
    pub(super) fn entry(&self, name: &str) -> Option<usize> {
        let name = first_version(name);
        self.ops.iter().position(|op| op.name == name)
    }

    /// Names of the kinds of devices that it offers, in its order.
    pub fn devices(&self) -> impl Iterator<Item = &str> {
        self.devices.iter().map(|kind| kind.name.as_str())
    }

    /// How well this machine serves the devices of a name. `None`: there are none.
    ///
    /// # Errors
    ///
    /// Why it cannot serve.
    pub fn score(&self, name: &str) -> Option<Result<f64, DeviceError>> {
        let entry = self.devices().position(|own| own == name)?;
        Some(score(self, entry))
    }

    /// Opens the device of a name and a number. `None`: there is none of the name.
    ///
    /// # Errors
    ///
    /// There is none of the number, or it does not answer.
    pub fn open_device(
        self: &Arc<Self>,
        name: &str,
        number: u32,
    ) -> Option<Result<PluginDevice, DeviceError>> {
        let entry = self.devices().position(|own| own == name)?;
        Some(PluginDevice::open(self, entry, number))
    }

    pub(super) fn device_at(&self, entry: usize) -> &Kind {
        &self.devices[entry]
    }

    pub(super) fn at(&self, entry: usize) -> &Entry {
        &self.ops[entry]
    }

    pub(super) fn state(&self) -> *mut c_void {
        self.started.state
    }
}

/// What the plugin at `path` answers to a host of a version: the version of its tables, or nothing.
///
/// # Errors
///
/// The library cannot be loaded, or its table is broken.
pub fn answers(path: &Path, speak: Speak) -> Result<Option<Speak>, PluginError> {
    let (note, file) = Note::opened(path)?;
    let query = find_query(path, file, &note.id)?;
    let Some(table) = ask(query, speak) else {
        return Ok(None);
    };
    // SAFETY: the plugin gave it as its table.
    let table = unsafe { read_sized(table, &[size_of::<raw::Plugin>()], "girih_plugin") };
    let table = table.map_err(|problem| PluginError::Broken {
        id: note.id,
        problem,
    })?;
    Ok(Some(Speak {
        major: table.major,
        minor: table.minor,
    }))
}

/// Loads the file that lies at `path`, for good, and finds its one function.
fn find_query(path: &Path, file: File, id: &str) -> Result<raw::QueryFn, PluginError> {
    let refused = |reason: String| PluginError::Load {
        id: id.to_owned(),
        reason,
    };
    // With a folder in its name the system looks nowhere else.
    let path = path.canonicalize().map_err(|source| PluginError::Read {
        path: path.to_owned(),
        source,
    })?;
    let library = match of_descriptor(&file) {
        Some(own) => open_library(&own),
        None => open_library(&path),
    };
    let library = library.map_err(|error| refused(error.to_string()))?;
    // SAFETY: the header gives this function its type.
    let found = unsafe { library.get::<raw::QueryFn>(raw::QUERY.to_bytes_with_nul()) };
    let query = *found.map_err(|_| PluginError::NoQuery { id: id.to_owned() })?;
    std::mem::forget(library);
    // The system knows the library by its descriptor's name, which must become no other's.
    std::mem::forget(file);
    Ok(query)
}

/// A path that means an open file itself, where the system has one.
fn of_descriptor(file: &File) -> Option<PathBuf> {
    #[cfg(target_os = "linux")]
    {
        use std::os::fd::AsRawFd as _;
        let own = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        own.exists().then_some(own)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = file;
        None
    }
}

#[cfg(unix)]
fn open_library(path: &Path) -> Result<libloading::Library, libloading::Error> {
    use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
    // Everything is bound now: what the library lacks is an error here and not an abort later.
    // SAFETY: the library's constructors run; whoever loads a plugin has agreed to its code.
    unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) }.map(Into::into)
}

#[cfg(not(unix))]
fn open_library(path: &Path) -> Result<libloading::Library, libloading::Error> {
    // SAFETY: the library's constructors run; whoever loads a plugin has agreed to its code.
    unsafe { libloading::Library::new(path) }
}

fn ask(query: raw::QueryFn, speak: Speak) -> Option<*const raw::Plugin> {
    let info = raw::HostInfo {
        struct_size: size_of::<raw::HostInfo>() as u32,
        major: speak.major,
        minor: speak.minor,
        name: NAME.as_ptr(),
        version: concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast(),
    };
    // SAFETY: the header gives the function this type; `info` is valid until it returns.
    let table = unsafe { query(&raw const info) };
    (!table.is_null()).then_some(table)
}

fn start(table: &raw::Plugin, note: &Note) -> Result<Started, PluginError> {
    let mut state = std::ptr::null_mut();
    let started = |state| Started {
        state,
        deinit: table.deinit,
    };
    let Some(init) = table.init else {
        return Ok(started(state));
    };
    // SAFETY: the first call of the plugin's own code, with the host's constant table.
    let status = with_memory(|| unsafe { init(&raw const HOST, &raw mut state) });
    match taken(status) {
        None => Ok(started(state)),
        Some(said) => Err(PluginError::Init {
            id: note.id.clone(),
            message: said.message,
            url: note.url.clone(),
        }),
    }
}

/// Reads a struct that begins with its size: the fields that both sides know, the others zero. `sizes` are those that it
/// has had, the smallest first.
///
/// # Safety
///
/// `pointer` is null, misaligned, or readable for the size that stands there; zeros are a valid `T`.
pub(super) unsafe fn read_sized<T>(
    pointer: *const T,
    sizes: &[usize],
    what: &str,
) -> Result<T, String> {
    if pointer.is_null() {
        return Err(format!("the table `{what}` is null"));
    }
    if !pointer.is_aligned() {
        return Err(format!("the table `{what}` is at no address of a table"));
    }
    // SAFETY: not null, aligned, and it begins with its size.
    let size = unsafe { pointer.cast::<u32>().read() };
    let known = sizes.iter().rev().find(|known| **known <= size as usize);
    let Some(known) = known.filter(|_| size <= SIZE_LIMIT) else {
        let least = sizes.first().copied().unwrap_or_default();
        return Err(format!(
            "the `struct_size` of `{what}` is {size}, and must be {least} at least and {SIZE_LIMIT} at most"
        ));
    };
    let mut read = MaybeUninit::<T>::zeroed();
    // SAFETY: the struct has `size` bytes where the plugin was built, `known` is no more, and no more than a `T`.
    unsafe {
        std::ptr::copy_nonoverlapping(pointer.cast::<u8>(), read.as_mut_ptr().cast(), *known);
    };
    // SAFETY: zeros are valid, and whole fields were copied.
    Ok(unsafe { read.assume_init() })
}

/// # Safety
///
/// `text` is null or readable up to its zero or `limit`.
pub(super) unsafe fn read_text(
    text: *const c_char,
    limit: usize,
    what: &str,
) -> Result<String, String> {
    if text.is_null() {
        return Err(format!("{what} is null"));
    }
    // SAFETY: as the caller says.
    let bytes = unsafe { bounded(text, limit) };
    let bytes = bytes.ok_or_else(|| format!("{what} is longer than {limit} bytes"))?;
    let text = std::str::from_utf8(bytes)
        .map_err(|error| format!("{what} is not UTF-8 (byte {})", error.valid_up_to()))?;
    Ok(text.to_owned())
}

/// # Safety
///
/// `table` is null or a note.
unsafe fn check_note(table: *const raw::Note, file: &Note) -> Result<(), String> {
    if table.is_null() || !table.is_aligned() {
        return Err("`note` is null".to_owned());
    }
    // SAFETY: not null and aligned; a note has one size.
    let table = unsafe { &*table };
    let same = |bytes: &[u8], text: &str| {
        bytes.starts_with(text.as_bytes()) && bytes.get(text.len()) == Some(&0)
    };
    if table.magic != raw::Note::magic()
        || !same(&table.id, &file.id)
        || !same(&table.version, &file.version)
    {
        return Err("its table points at another note than its file holds".to_owned());
    }
    Ok(())
}

/// The first capability that this host lacks.
///
/// # Safety
///
/// `needs` is null or a list of texts that ends with null.
unsafe fn first_unknown(needs: *const *const c_char) -> Result<Option<String>, String> {
    if needs.is_null() {
        return Ok(None);
    }
    for at in 0..64 {
        // SAFETY: the list has not ended yet.
        let need = unsafe { *needs.wrapping_add(at) };
        if need.is_null() {
            return Ok(None);
        }
        // SAFETY: a text of the list.
        let need = unsafe { read_text(need, NAME_LIMIT, "a text in `needs`") }?;
        if !OFFERED.contains(&need.as_str()) {
            return Ok(Some(need));
        }
    }
    Err("`needs` has more than 64 texts or does not end with null".to_owned())
}

/// # Safety
///
/// `ops` is null or the table of operations.
unsafe fn read_ops(ops: *const raw::Ops) -> Result<Vec<Entry>, String> {
    if ops.is_null() {
        return Ok(Vec::new());
    }
    // SAFETY: as the caller says.
    let ops = unsafe { read_sized(ops, &[size_of::<raw::Ops>()], "girih_ops") }?;
    if ops.count > MOST_OPS {
        return Err(format!(
            "it claims {} operations, and may have {MOST_OPS}",
            ops.count
        ));
    }
    if ops.ops.is_null() && ops.count > 0 {
        return Err(format!(
            "it claims {} operations, and `ops` is null",
            ops.count
        ));
    }
    let (mut found, mut names) = (Vec::new(), BTreeSet::new());
    for at in 0..ops.count as usize {
        // SAFETY: the list has `count` pointers.
        let op = unsafe { *ops.ops.wrapping_add(at) };
        let sizes = [offset_of!(raw::OpTable, cost), size_of::<raw::OpTable>()];
        // SAFETY: the plugin gave it as the table of an operation.
        let op = unsafe { read_sized(op, &sizes, "girih_op") }
            .map_err(|problem| format!("operation {at}: {problem}"))?;
        // SAFETY: the plugin gave it as a name.
        let name = unsafe { read_text(op.name, NAME_LIMIT, "its name") }
            .map_err(|problem| format!("operation {at}: {problem}"))?;
        let name = first_version(&name).to_owned();
        if !is_operation(&name) {
            return Err(format!("operation {at}: `{name}` is no name of a function"));
        }
        if !names.insert(name.clone()) {
            return Err(format!("two operations are called `{name}`"));
        }
        let absent = |what: &str| format!("`{what}` of operation `{name}` is null");
        found.push(Entry {
            flags: op.flags,
            prepare: op.prepare.ok_or_else(|| absent("prepare"))?,
            run: op.run.ok_or_else(|| absent("run"))?,
            release: op.release,
            cost: op.cost,
            name,
        });
    }
    Ok(found)
}

/// The name without the version that goes without saying.
fn first_version(name: &str) -> &str {
    name.strip_suffix("@1").unwrap_or(name)
}

/// Whether a text is a word, or a word and the number of a version.
fn is_operation(name: &str) -> bool {
    let (word, version) = name.split_once('@').unwrap_or((name, "1"));
    word.starts_with(|c: char| c.is_alphabetic() || c == '_')
        && word.chars().all(|c| c.is_alphanumeric() || c == '_')
        && version.starts_with(|c: char| c.is_ascii_digit() && c != '0')
        && version.chars().all(|c| c.is_ascii_digit())
}
