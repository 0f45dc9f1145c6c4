//! A device to begin with: its memory is the processor's, and regions of kernels are interpreted.
//!
//! Everything else – products, attention, loops, routes, routines – is refused with a reason: the host computes it or
//! walks it, so that this device runs every model. A device for real hardware has the same functions; `interpret` is
//! where it would make code instead.

mod bound;
mod interpret;
mod memory;
mod number;

use std::ffi::CStr;

use girih_plan::plan::Work;
use girih_plan::region::Region;
use girih_plugin::Error;
use girih_plugin::device::{Device, Info, Place, RegionCall};
use girih_plugin::raw::Failure;

use memory::{Held, Memory};

/// The device.
#[derive(Debug)]
pub struct Template;

impl Device for Template {
    const NAME: &'static CStr = c"template";

    type Memory = Memory;
    type Region = Region;

    fn score() -> Result<f64, Error> {
        // It runs everywhere, and far slower than the processor's own backend.
        Ok(0.001)
    }

    fn open(number: u32) -> Result<Self, Error> {
        if number > 0 {
            return Err(Error::invalid(format!(
                "there is one device, number 0, and no number {number}"
            )));
        }
        Ok(Self)
    }

    fn info(&self) -> Result<Info, Error> {
        Ok(Info {
            name: "the processor's memory".to_owned(),
            bytes: 0,
        })
    }

    fn alloc(&self, bytes: u64) -> Result<Memory, Error> {
        Memory::new(bytes)
    }

    fn write(&self, to: Place<'_, Memory>, from: &[u8]) -> Result<(), Error> {
        to.memory.lock().write(to.offset, from)
    }

    fn read(&self, from: Place<'_, Memory>, to: &mut [u8]) -> Result<(), Error> {
        let held = from.memory.lock();
        to.copy_from_slice(held.bytes(from.offset, to.len())?);
        Ok(())
    }

    fn copy(
        &self,
        to: Place<'_, Memory>,
        from: Place<'_, Memory>,
        bytes: u64,
    ) -> Result<(), Error> {
        let length = usize::try_from(bytes).map_err(|error| Error::internal(error.to_string()))?;
        let copied = from.memory.lock().bytes(from.offset, length)?.to_vec();
        to.memory.lock().write(to.offset, &copied)
    }

    fn wait(&self) -> Result<(), Error> {
        // Everything is done when it is asked.
        Ok(())
    }

    fn compile(&self, text: &str) -> Result<Region, Error> {
        let region =
            Region::from_text(text).map_err(|error| Error::unsupported(error.to_string()))?;
        let mut launches = region.section.launches.iter();
        match launches.find_map(|launch| lacking(&launch.work)) {
            Some(what) => Err(Error::unsupported(format!(
                "{what}: there is no code for them"
            ))),
            None => Ok(region),
        }
    }

    fn run(&self, region: &Region, call: &RegionCall<'_, Memory>) -> Result<(), Error> {
        let mut held = Held::new(call)?;
        let buffers = region.section.buffers.len();
        if call.buffers.len() != buffers || call.symbols.len() != region.symbols.len() {
            return Err(Error::internal(format!(
                "the region has {buffers} buffers and {} sizes, and {} and {} were given",
                region.symbols.len(),
                call.buffers.len(),
                call.symbols.len()
            )));
        }
        for (number, launch) in region.section.launches.iter().enumerate() {
            let Work::Kernel(launch) = &launch.work else {
                return Err(Error::internal("a launch that is no kernel was compiled"));
            };
            let kernel = &region.kernels[launch.kernel];
            let bound = bound::bind(kernel, &region.symbols, call.symbols)?;
            let places: Vec<usize> = launch.buffers.iter().map(|id| id.index()).collect();
            if let Some(stopped) = interpret::run(kernel, &bound, &places, &mut held)? {
                return held.fail(&Failure {
                    status: i64::from(stopped.status),
                    position: stopped.position,
                    extent: stopped.extent,
                    launch: number as i64,
                });
            }
        }
        Ok(())
    }
}

/// What a launch is that there is no code for.
fn lacking(work: &Work) -> Option<&'static str> {
    match work {
        Work::Kernel(_) => None,
        Work::Contract(_) => Some("products of matrices"),
        Work::Attention(_) => Some("attention"),
        Work::Recurrence(_) => Some("loops"),
        Work::Route(_) => Some("routes"),
        Work::Routine(_) => Some("routines"),
        Work::Native(_) => Some("operations of plugins"),
    }
}

girih_plugin::export! {
    id: "org.girih.template-device",
    version: "1.0.0",
    license: "MIT OR Apache-2.0",
    url: "https://github.com/girih/girih",
    source: "",
    ops: [],
    devices: [Template],
}
