//! The C header and the Rust structs agree: sizes, offsets and constants as a C compiler sees them.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is how a test fails")]

use std::fmt::Write as _;
use std::mem::offset_of;
use std::path::Path;
use std::process::Command;

use girih_plugin::raw;

/// Lines `name value` as Rust has them, and the C program's lines that print the same names.
struct Sheet {
    rust: String,
    c: String,
}

impl Sheet {
    fn constant(&mut self, name: &str, value: u64) {
        writeln!(self.rust, "{name} {value}").unwrap();
        writeln!(
            self.c,
            "    printf(\"{name} %llu\\n\", (unsigned long long)({name}));"
        )
        .unwrap();
    }
}

macro_rules! structs {
    ($sheet:ident; $($c:literal = $rust:ty { $($field:ident),* $(,)? })*) => {$(
        $sheet.constant(concat!("sizeof(", $c, ")"), size_of::<$rust>() as u64);
        $($sheet.constant(
            concat!("offsetof(", $c, ", ", stringify!($field), ")"),
            offset_of!($rust, $field) as u64,
        );)*
    )*};
}

macro_rules! constants {
    ($sheet:ident; $($c:literal = $rust:expr;)*) => {$($sheet.constant($c, u64::from($rust));)*};
}

#[test]
fn header_and_structs_agree() {
    let mut sheet = Sheet {
        rust: String::new(),
        c: String::from("#include <stdio.h>\n#include \"girih_plugin.h\"\nint main(void) {\n"),
    };
    structs! { sheet;
        "DLDevice" = raw::DlDevice { device_type, device_id }
        "DLDataType" = raw::DlDataType { code, bits, lanes }
        "DLTensor" = raw::DlTensor { data, device, ndim, dtype, shape, strides, byte_offset }
        "girih_host" = raw::Host { struct_size, major, minor, error, alloc, free }
        "girih_host_info" = raw::HostInfo { struct_size, major, minor, name, version }
        "girih_type" = raw::Type { dtype, rank, shape }
        "girih_attr" = raw::Attr { name, kind, unused, integer, real, text }
        "girih_spec" = raw::Spec {
            struct_size, attr_count, operand_count, result_count, threads, unused, attrs, operands, results, host
        }
        "girih_prepared" = raw::Prepared { struct_size, workspace_align, workspace_bytes, kernel }
        "girih_call" = raw::Call {
            struct_size, operand_count, result_count, threads, operands, results, workspace, host, parallel_for
        }
        "girih_cost" = raw::Cost { struct_size, unused, operations, bytes }
        "girih_op" = raw::OpTable { struct_size, flags, name, prepare, run, release, cost }
        "girih_ops" = raw::Ops { struct_size, count, ops }
        "girih_place" = raw::Place { memory, offset }
        "girih_device_info" = raw::DeviceInfo { struct_size, unused, bytes, name }
        "girih_failure" = raw::Failure { status, position, extent, launch }
        "girih_region_call" = raw::RegionCall {
            struct_size, buffer_count, symbol_count, unused, buffers, symbols, failure
        }
        "girih_device" = raw::DeviceTable {
            struct_size, flags, name, score, open, close, describe, alloc, free, write, read, copy, wait, compile, run,
            release
        }
        "girih_devices" = raw::Devices { struct_size, count, devices }
        "girih_note" = raw::Note {
            magic, size, major, minor, oldest_minor, unused, reserved, id, version, license, url, target, capabilities
        }
        "girih_plugin" = raw::Plugin { struct_size, major, minor, note, source, needs, init, deinit, get }
    }
    constants! { sheet;
        "GIRIH_MAJOR" = raw::MAJOR;
        "GIRIH_MINOR" = raw::MINOR;
        "kDLCPU" = raw::DL_CPU.unsigned_abs();
        "kDLInt" = raw::DL_INT;
        "kDLUInt" = raw::DL_UINT;
        "kDLFloat" = raw::DL_FLOAT;
        "kDLBfloat" = raw::DL_BFLOAT;
        "kDLBool" = raw::DL_BOOL;
        "GIRIH_UNSUPPORTED" = raw::UNSUPPORTED;
        "GIRIH_INVALID" = raw::INVALID;
        "GIRIH_MEMORY" = raw::MEMORY;
        "GIRIH_INTERNAL" = raw::INTERNAL;
        "GIRIH_ATTR_BOOL" = raw::ATTR_BOOL;
        "GIRIH_ATTR_INT" = raw::ATTR_INT;
        "GIRIH_ATTR_REAL" = raw::ATTR_REAL;
        "GIRIH_ATTR_TEXT" = raw::ATTR_TEXT;
        "GIRIH_STRIDED" = raw::STRIDED;
    }
    // Texts and the note's first bytes: compared as text.
    let magic: Vec<String> = raw::Note::magic().iter().map(u8::to_string).collect();
    writeln!(
        sheet.rust,
        "{} {} {} {}",
        raw::OPS.to_str().unwrap(),
        raw::DEVICES.to_str().unwrap(),
        girih_plugin::note::TARGET,
        magic.join(" ")
    )
    .unwrap();
    sheet.c.push_str("    printf(\"%s %s %s\", GIRIH_OPS, GIRIH_DEVICES, GIRIH_TARGET);\n    for (int i = 0; i < 16; i++) printf(\" %d\", (unsigned char)note.magic[i]);\n    puts(\"\");\n    return 0;\n}\n");
    let program = sheet.c.replace(
        "int main",
        "GIRIH_NOTE(note, \"org.example.layout\", \"1.0.0\", \"MIT\", \"\", GIRIH_OPS);\nint main",
    );

    let said = compile_and_run("layout", &program, &[]);
    assert_eq!(said, sheet.rust);
}

#[test]
fn a_plugin_of_an_older_minor_has_smaller_structs() {
    let program = "#define GIRIH_MINOR 0\n#include \"girih_plugin.h\"\n#include <stdio.h>\n\
        int main(void) { printf(\"%d %d\", (int)sizeof(girih_op), (int)sizeof(girih_plugin)); return 0; }\n";
    let said = compile_and_run("older", program, &[]);
    let expected = format!(
        "{} {}",
        offset_of!(raw::OpTable, cost),
        size_of::<raw::Plugin>()
    );
    assert_eq!(said, expected);
}

#[test]
fn the_header_is_also_cpp() {
    let Ok(version) = Command::new("c++").arg("--version").output() else {
        // Machines without a C++ compiler have nothing to compare.
        return;
    };
    assert!(version.status.success());
    let folder = Folder::new("cpp");
    let source = folder.0.join("a.cpp");
    std::fs::write(
        &source,
        "#include \"girih_plugin.h\"\nGIRIH_NOTE(note, \"a\", \"1\", \"\", \"\", GIRIH_OPS);\n\
         int main() { return note.size == 512 ? 0 : 1; }\n",
    )
    .unwrap();
    compile("c++", &source, &folder.0.join("a"), &["-std=c++11"]);
}

/// A folder that goes when the test does.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("girih-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left in a folder for temporary files harms nobody.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[track_caller]
fn compile(compiler: &str, source: &Path, program: &Path, options: &[&str]) {
    let include = Path::new(env!("CARGO_MANIFEST_DIR")).join("include");
    let output = Command::new(compiler)
        .args(["-Wall", "-Wextra", "-Werror", "-pedantic"])
        .args(options)
        .arg("-I")
        .arg(include)
        .arg(source)
        .arg("-o")
        .arg(program)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[track_caller]
fn compile_and_run(name: &str, text: &str, options: &[&str]) -> String {
    let folder = Folder::new(name);
    let (source, program) = (folder.0.join("a.c"), folder.0.join("a"));
    std::fs::write(&source, text).unwrap();
    compile("cc", &source, &program, &[&["-std=c99"], options].concat());
    let output = Command::new(&program).output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}
