//! The exported function of a plugin, and the tables behind it.
#![expect(unsafe_code, reason = "what the host calls gets its pointers")]

use std::ffi::{CStr, c_char, c_void};

use crate::raw::{self, Devices, HostInfo, MAJOR, MINOR, Ops, Plugin};

/// Number of minor versions that are spoken.
pub const MINORS: usize = MINOR as usize + 1;

/// Pointers to tables that are constant.
#[derive(Debug)]
pub struct Tables<T, const N: usize>(pub [*const T; N]);

// SAFETY: what they point at is constant and lives forever; only the macro makes one.
unsafe impl<T, const N: usize> Sync for Tables<T, N> {}

/// What a plugin offers.
#[derive(Debug)]
pub struct Offers {
    ops: Ops,
    devices: Devices,
}

impl Offers {
    /// Both lists.
    pub const fn new<const OPS: usize, const DEVICES: usize>(
        ops: &'static Tables<raw::OpTable, OPS>,
        devices: &'static Tables<raw::DeviceTable, DEVICES>,
    ) -> Self {
        Self {
            ops: Ops {
                struct_size: size_of::<Ops>() as u32,
                count: OPS as u32,
                ops: ops.0.as_ptr(),
            },
            devices: Devices {
                struct_size: size_of::<Devices>() as u32,
                count: DEVICES as u32,
                devices: devices.0.as_ptr(),
            },
        }
    }
}

/// The capabilities of a plugin, as its note has them.
pub const fn capabilities(ops: usize, devices: usize) -> &'static CStr {
    match (ops, devices) {
        (_, 0) => raw::OPS,
        (0, _) => raw::DEVICES,
        _ => c"girih.op/1 girih.device/1",
    }
}

/// The plugin as each minor version has it, the oldest first.
pub const fn plugins(
    note: &'static raw::Note,
    source: &'static CStr,
    get: unsafe extern "C" fn(*mut c_void, *const c_char) -> *const c_void,
) -> [Plugin; MINORS] {
    let mut made = [const { EMPTY }; MINORS];
    let mut minor = 0;
    while minor < MINORS {
        made[minor].minor = minor as u16;
        made[minor].note = note;
        made[minor].source = source.as_ptr();
        made[minor].get = Some(get);
        minor += 1;
    }
    made
}

const EMPTY: Plugin = Plugin {
    struct_size: size_of::<Plugin>() as u32,
    major: MAJOR,
    minor: 0,
    note: std::ptr::null(),
    source: std::ptr::null(),
    needs: std::ptr::null(),
    init: None,
    deinit: None,
    get: None,
};

/// What `girih_plugin_query` answers.
///
/// # Safety
///
/// `host` is null or as the header says.
pub unsafe fn query(plugins: &'static [Plugin; MINORS], host: *const HostInfo) -> *const Plugin {
    // SAFETY: valid unless null, by the caller.
    match unsafe { host.as_ref() } {
        Some(host) if host.major == MAJOR => &raw const plugins[host.minor.min(MINOR) as usize],
        _ => std::ptr::null(),
    }
}

/// What `get` answers.
///
/// # Safety
///
/// `capability` is null or a text that ends with zero.
pub unsafe fn get(offers: &'static Offers, capability: *const c_char) -> *const c_void {
    if capability.is_null() {
        return std::ptr::null();
    }
    // SAFETY: not null, and the rest is the caller's.
    let capability = unsafe { CStr::from_ptr(capability) };
    if capability == raw::OPS && offers.ops.count > 0 {
        (&raw const offers.ops).cast()
    } else if capability == raw::DEVICES && offers.devices.count > 0 {
        (&raw const offers.devices).cast()
    } else {
        std::ptr::null()
    }
}

/// A text that ends with zero, as the border wants it. One that holds a zero does not compile.
pub const fn text(with_zero: &'static str) -> &'static CStr {
    match CStr::from_bytes_with_nul(with_zero.as_bytes()) {
        Ok(text) => text,
        Err(_) => panic!("a plugin's text holds a zero"),
    }
}

/// Makes the library a plugin: its note, its tables and the one exported function.
///
/// `source` is a text or `include_str!` of a file; `ops` are types that implement [`Op`](crate::Op), `devices`, which may be
/// left out, types that implement [`Device`](crate::Device). Once in a library.
#[macro_export]
macro_rules! export {
    (
        id: $id:expr,
        version: $version:expr,
        license: $license:expr,
        url: $url:expr,
        source: $source:expr,
        ops: [$($op:ty),* $(,)?]
        $(, devices: [$($device:ty),* $(,)?])? $(,)?
    ) => {
        const _: () = {
            const OP_COUNT: usize = <[&str]>::len(&[$(stringify!($op)),*]);
            const DEVICE_COUNT: usize = <[&str]>::len(&[$($(stringify!($device)),*)?]);
            #[used]
            static NOTE: $crate::raw::Note = $crate::raw::Note::new(
                $id,
                $version,
                $license,
                $url,
                $crate::export::capabilities(OP_COUNT, DEVICE_COUNT),
            );
            static OPS: $crate::export::Tables<$crate::raw::OpTable, OP_COUNT> =
                $crate::export::Tables([$({
                    static TABLE: $crate::raw::OpTable = $crate::op::table::<$op>();
                    &raw const TABLE
                }),*]);
            static DEVICES: $crate::export::Tables<$crate::raw::DeviceTable, DEVICE_COUNT> =
                $crate::export::Tables([$($({
                    static TABLE: $crate::raw::DeviceTable = $crate::device::table::<$device>();
                    &raw const TABLE
                }),*)?]);
            static OFFERS: $crate::export::Offers = $crate::export::Offers::new(&OPS, &DEVICES);
            static PLUGINS: [$crate::raw::Plugin; $crate::export::MINORS] = $crate::export::plugins(
                &NOTE,
                const { $crate::export::text(concat!($source, "\0")) },
                get,
            );

            unsafe extern "C" fn get(
                _plugin: *mut ::std::ffi::c_void,
                capability: *const ::std::ffi::c_char,
            ) -> *const ::std::ffi::c_void {
                // SAFETY: the host gives a text that ends with zero.
                unsafe { $crate::export::get(&OFFERS, capability) }
            }

            /// The tables of the plugin, or null for a host of another major version.
            ///
            /// # Safety
            ///
            /// `host` is null or a valid `girih_host_info`.
            #[unsafe(no_mangle)]
            pub unsafe extern "C" fn girih_plugin_query(
                host: *const $crate::raw::HostInfo,
            ) -> *const $crate::raw::Plugin {
                // SAFETY: as the caller says.
                unsafe { $crate::export::query(&PLUGINS, host) }
            }
        };
    };
}
