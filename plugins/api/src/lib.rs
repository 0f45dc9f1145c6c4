//! Write plugins for Girih in Rust.
//!
//! A plugin is a dynamic library that carries one text in the Girih language and kernels for the functions in it that
//! are marked `@native`. The text gives shapes, meaning, gradient and streaming; an [`Op`] is a kernel:
//!
//! ```
//! use girih_plugin::{Call, Error, Op, Spec};
//!
//! /// `fn double(x: f32[n]) -> f32[n] = 2 * x`
//! struct Double;
//!
//! impl Op for Double {
//!     const NAME: &'static std::ffi::CStr = c"double";
//!
//!     fn prepare(spec: &Spec<'_>) -> Result<Self, Error> {
//!         spec.expect_f32()?;
//!         Ok(Self)
//!     }
//!
//!     fn run(&self, call: &mut Call<'_>) -> Result<(), Error> {
//!         let (x, y) = (call.operand::<f32>(0)?, call.result::<f32>(0)?);
//!         call.rows(y, 64, |row, y| {
//!             let x = &x[row * 64..];
//!             y.iter_mut().zip(x).for_each(|(y, x)| *y = 2.0 * x);
//!         })
//!     }
//! }
//!
//! girih_plugin::export! {
//!     id: "org.example.double",
//!     version: "1.0.0",
//!     license: "MIT",
//!     url: "",
//!     source: "fn double(x: f32[n]) -> f32[n] = 2 * x",
//!     ops: [Double],
//! }
//! ```
//!
//! A plugin may also offer devices, types that implement [`Device`]: `export!` takes them after `ops`, as
//! `devices: [Own]`.
//!
//! The border itself is `include/girih_plugin.h`; [`raw`] is that file in Rust. A panic in an [`Op`] or a [`Device`]
//! becomes an error that tells what it said.

pub mod call;
pub mod device;
pub mod error;
pub mod export;
pub mod note;
pub mod op;
pub mod raw;
pub mod spec;

pub use call::{Call, View};
pub use device::Device;
pub use error::{Code, Error};
pub use op::{Cost, Op, Workspace};
pub use spec::{Attribute, Element, Spec, Type};
