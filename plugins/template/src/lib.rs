//! A plugin to begin with: change the text, change the kernel, run `girih plugin check`.
//!
//! `template.girih` says what `smooth` computes, its gradient, and how it goes on in a stream. Here is only what makes it
//! fast: a kernel for `f32` that takes the channels on all threads. Whatever it refuses is computed from the text.

use girih_plugin::{Call, Cost, Error, Op, Spec};

/// The kernel of `smooth`.
struct Smooth {
    length: usize,
}

impl Op for Smooth {
    const NAME: &'static std::ffi::CStr = c"smooth";

    fn prepare(spec: &Spec<'_>) -> Result<Self, Error> {
        spec.expect_f32()?;
        let [_, length] = *spec.operand(0)?.shape() else {
            return Err(Error::internal("`x` has two axes"));
        };
        Ok(Self {
            length: usize::try_from(length).map_err(|error| Error::internal(error.to_string()))?,
        })
    }

    fn run(&self, call: &mut Call<'_>) -> Result<(), Error> {
        let (x, decay) = (call.operand::<f32>(0)?, call.operand::<f32>(1)?);
        let y = call.result::<f32>(0)?;
        call.rows(y, self.length, |channel, y| {
            let x = &x[channel * self.length..];
            let (keep, mut state) = (decay[channel], 0.0);
            for (y, x) in y.iter_mut().zip(x) {
                state = keep * state + (1.0 - keep) * x;
                *y = state;
            }
        })
    }

    fn cost(spec: &Spec<'_>) -> Option<Cost> {
        let count = spec.operand(0).ok()?.count() as f64;
        Some(Cost {
            operations: 4.0 * count,
            bytes: 8.0 * count,
        })
    }
}

girih_plugin::export! {
    id: "org.girih.template",
    version: "1.0.0",
    license: "MIT OR Apache-2.0",
    url: "https://github.com/girih/girih",
    source: include_str!("template.girih"),
    ops: [Smooth],
}
