/* The border between Girih and its plugins. C99 (and C++); needs nothing but two standard headers.
 *
 * A plugin is a dynamic library that exports one function, `girih_plugin_query`. It carries one text in the Girih
 * language: functions marked `@native` are its operations, and the text says everything about them that a compiler
 * has to know - which shapes go in and come out, what is computed, the gradient, how a stream goes on. The tables
 * below hold what text cannot: kernels. A plugin may also offer devices, which run models of any text.
 *
 * Rules that hold everywhere
 * - Versions. Host and plugin have the same major number; minors may differ. Structs grow at their end only. Each
 *   begins with `struct_size`, its size where its owner was built; nobody reads past it (GIRIH_HAS). Structs without
 *   `struct_size` never change.
 * - Unknown is absent. A capability that is not known is NULL, a flag that is not known means nothing.
 * - Memory. Whoever allocates frees. Operands, results and workspace belong to the host. Pointers in arguments are
 *   valid until the call returns, what a plugin's tables point at forever: libraries are never unloaded.
 * - Text is UTF-8 and ends with a zero byte.
 * - Errors. A `girih_status` is NULL, or an error that `girih_host.error` made; it then belongs to the host.
 * - Unwinding. No C++ exception, panic or longjmp may leave a function of a plugin.
 * - Threads. Each function says which thread may call it:
 *     [load]   the thread that loads the plugin, before anything else of it runs
 *     [any]    any thread, several at once
 *     [worker] any thread, several at once, while a model computes: no allocation, no lock that is held for long
 *
 * To be loaded by hosts of an older minor, define GIRIH_MINOR as that minor before this file is included.
 */
#ifndef GIRIH_PLUGIN_H_
#define GIRIH_PLUGIN_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* While the major number is 0 anything may still change; a change that breaks plugins makes it 1, 2, ... */
#define GIRIH_MAJOR 0
#ifndef GIRIH_MINOR
#define GIRIH_MINOR 2
#endif
#if GIRIH_MINOR > 2
#error "this header describes minor versions up to 2"
#endif

/* Capabilities. */
#define GIRIH_OPS "girih.op/1"
#define GIRIH_DEVICES "girih.device/1"

/* Whether the struct at `pointer` has `field`. Ask before reading any field that came after minor 0. */
#define GIRIH_HAS(pointer, field) \
    ((pointer)->struct_size >= (size_t)((const char *)&(pointer)->field - (const char *)(pointer)) + sizeof((pointer)->field))

#if defined(_WIN32)
#define GIRIH_EXPORT __declspec(dllexport)
#else
#define GIRIH_EXPORT __attribute__((visibility("default")))
#endif

/* ---- Tensors ------------------------------------------------------------------------------------------------------
 * As DLPack has them, binary compatible, as far as they are used here. To work with the original header, include it
 * before this one. */
#ifndef DLPACK_DLPACK_H_

enum { kDLCPU = 1 };

enum {
    kDLInt = 0,
    kDLUInt = 1,
    kDLFloat = 2,
    kDLBfloat = 4,
    kDLBool = 6
};

/* Where data lie. Operations of GIRIH_OPS get `device_type` kDLCPU and `device_id` 0. */
typedef struct {
    int32_t device_type;
    int32_t device_id;
} DLDevice;

/* One element: `code` is kDLFloat, ...; `bits` 8, 16, 32 or 64; `lanes` 1. A kDLBool has 8 bits and is 0 or 1. */
typedef struct {
    uint8_t code;
    uint8_t bits;
    uint16_t lanes;
} DLDataType;

/* A tensor. `strides` count elements and are never NULL here if `ndim` is not 0; `byte_offset` is always 0 here. */
typedef struct {
    void *data;
    DLDevice device;
    int32_t ndim;
    DLDataType dtype;
    int64_t *shape;
    int64_t *strides;
    uint64_t byte_offset;
} DLTensor;

#endif /* DLPACK_DLPACK_H_ */

/* ---- Errors -------------------------------------------------------------------------------------------------------*/

/* An error, made and freed by the host. */
typedef struct girih_error girih_error;

/* NULL: done. */
typedef girih_error *girih_status;

/* What kind of failure. Anything else counts as GIRIH_INTERNAL. */
enum {
    /* These dtypes, sizes or attributes are not for this operation; the host computes the text instead, if it can. */
    GIRIH_UNSUPPORTED = 1,
    /* The numbers are such that there is no result. */
    GIRIH_INVALID = 2,
    /* Not enough memory. */
    GIRIH_MEMORY = 3,
    /* A mistake of the plugin itself. */
    GIRIH_INTERNAL = 4
};

/* ---- What the host offers -----------------------------------------------------------------------------------------*/

/* What a plugin may ask its host for. Valid forever. */
typedef struct girih_host girih_host;
struct girih_host {
    uint32_t struct_size;
    uint16_t major, minor;

    /* Makes an error with a text for people: lower case, no period, `code` in backticks.
     * - State: any time.   - Thread: [worker].   - Lifetime: `message` is copied.
     * - Errors: never NULL; without memory it is an error that says so. */
    girih_status (*error)(const girih_host *host, uint32_t code, const char *message);

    /* Memory for a kernel: `bytes` from 0 on, aligned to `align`, a power of two up to 4096. Not cleared.
     * - State: in `init` and `prepare` only; elsewhere it gives NULL, and `girih plugin check` reports it.
     * - Thread: [any].   - Lifetime: until `free`.   - Errors: NULL. */
    void *(*alloc)(const girih_host *host, uint64_t bytes, uint32_t align);

    /* Gives back what `alloc` gave; NULL is nothing.
     * - State: any time but in `run`.   - Thread: [any]. */
    void (*free)(const girih_host *host, void *memory);
};

/* Who asks. */
typedef struct {
    uint32_t struct_size;
    /* The newest version that the host speaks. */
    uint16_t major, minor;
    /* "girih", "0.1.0" */
    const char *name, *version;
} girih_host_info;

/* ---- Operations: the capability GIRIH_OPS ---------------------------------------------------------------------------*/

/* Element type and extents of one tensor, core axes only, outermost first. */
typedef struct {
    DLDataType dtype;
    uint32_t rank;
    const int64_t *shape;
} girih_type;

enum {
    GIRIH_ATTR_BOOL = 1,
    GIRIH_ATTR_INT = 2,
    GIRIH_ATTR_REAL = 3,
    GIRIH_ATTR_TEXT = 4
};

/* A static argument by name. `integer` holds integers and truth values, `real` real numbers, `text` text. */
typedef struct {
    const char *name;
    uint32_t kind;
    uint32_t unused;
    int64_t integer;
    double real;
    const char *text;
} girih_attr;

/* What a kernel is made for. */
typedef struct {
    uint32_t struct_size;
    uint32_t attr_count, operand_count, result_count;
    /* The most threads that `parallel_for` uses, from 1 on. */
    uint32_t threads;
    uint32_t unused;
    /* In the order of the function's parameters. */
    const girih_attr *attrs;
    const girih_type *operands;
    const girih_type *results;
    const girih_host *host;
} girih_spec;

/* A kernel. The host clears it and sets `struct_size`; `prepare` fills it in. */
typedef struct {
    uint32_t struct_size;
    /* Of the workspace: a power of two up to 4096; 0 counts as 1. */
    uint32_t workspace_align;
    /* Scratch memory that each run needs. */
    uint64_t workspace_bytes;
    /* Given to `run` and `release`; may be NULL. */
    void *kernel;
} girih_prepared;

/* What one run reads and writes. */
typedef struct girih_call girih_call;
struct girih_call {
    uint32_t struct_size;
    uint32_t operand_count, result_count;
    /* The most threads that `parallel_for` uses. */
    uint32_t threads;
    /* Operands are read only; without GIRIH_STRIDED they are row-major. Results are row-major, and their content is
     * arbitrary before the run. Data are aligned for their element type and no more: positions of axes that the
     * kernel does not know lie behind one another. Results overlap nothing. Extents may be 0. */
    const DLTensor *operands;
    const DLTensor *results;
    /* As large and as aligned as `prepare` asked; its content is arbitrary. */
    void *workspace;
    const girih_host *host;

    /* Calls `body(data, item, thread)` once for each item below `count`, in any order, on the host's threads, and
     * returns after the last. `thread` is below `threads` and differs between bodies that run at the same time.
     * - State: in `run`, not in a body.   - Thread: the one that called `run`.
     * - Errors: none; bodies leave theirs in `data`.   - `body` must not unwind. */
    void (*parallel_for)(const girih_call *call, uint64_t count,
                         void (*body)(void *data, uint64_t item, uint32_t thread), void *data);
};

#if GIRIH_MINOR >= 1
/* What a run costs, for the planner. */
typedef struct {
    uint32_t struct_size;
    uint32_t unused;
    /* Operations on numbers, and bytes read and written; not negative. */
    double operations, bytes;
} girih_cost;
#endif

/* Flags of an operation. */
enum {
    /* Operands may have any strides from 0 on. */
    GIRIH_STRIDED = 1
};

/* The kernels of one `@native` function. They compute what its text says, are pure, and give the same bits each time,
 * whatever the number of threads. */
typedef struct {
    uint32_t struct_size;
    uint32_t flags;
    /* The function's name in the text; "name@2" if the text says `@native(2)`. */
    const char *name;

    /* Makes a kernel for the types in `spec`, and may refuse with GIRIH_UNSUPPORTED.
     * - State: after `init`.   - Thread: [any].   - Lifetime: `spec` until it returns; the kernel until `release`.
     * - Errors: GIRIH_UNSUPPORTED makes the host compute the text, others end the run; `out` is then not read. */
    girih_status (*prepare)(void *self, const girih_spec *spec, girih_prepared *out);

    /* Computes all results once.
     * - State: after `prepare` was done, before `release`.   - Thread: [worker]; runs of one kernel may overlap, each
     *   with results and workspace of its own.   - Lifetime: `call` and all in it until it returns.
     * - Errors: the results are then unspecified, the kernel stays usable. */
    girih_status (*run)(void *kernel, const girih_call *call);

    /* Ends a kernel. NULL where there is nothing to end.
     * - State: once, after the last run.   - Thread: [any]. */
    void (*release)(void *kernel);

#if GIRIH_MINOR >= 1
    /* Since minor 1. What a run for `spec` costs; NULL where nobody knows.
     * - State: after `init`.   - Thread: [any].   - Errors: the host then estimates from the text. */
    girih_status (*cost)(void *self, const girih_spec *spec, girih_cost *out);
#endif
} girih_op;

/* What `get(self, GIRIH_OPS)` gives. */
typedef struct {
    uint32_t struct_size;
    uint32_t count;
    const girih_op *const *ops;
} girih_ops;

#if GIRIH_MINOR >= 2
/* ---- Devices: the capability GIRIH_DEVICES, since minor 2 -----------------------------------------------------------
 * The host plans, walks and remembers; a device compiles regions and runs them.
 *
 * A region is a piece of a plan as text (JSON, of the form that `girih_plan::region` describes): launches in order, with
 * kernels as loop nests around straight-line steps. A device that has no code for a region says GIRIH_UNSUPPORTED and
 * why: the host then walks a loop itself, step by step, with the launches of its body as regions of their own, and
 * computes everything else on the processor. So a device that knows kernels alone runs every model. Every launch is
 * offered alone first; neighbors that a device takes are then offered as one region, and stay apart if it says
 * GIRIH_UNSUPPORTED to that. Whatever makes code for launches one by one may keep it from the first time: a launch is the
 * same in both texts but for the numbers of what it refers to.
 *
 * What is asked of one device happens in the order in which it was asked, as on one queue: `write`, `read`, `copy`, `run`
 * and `free` see all that was asked before, and may return before they are done except where is said otherwise. Errors
 * of what was enqueued may be told by any later function that has a status; the device stays usable. */

/* Memory of a device from a byte on. It is aligned for the element type of what lies there and no more. */
typedef struct {
    void *memory; /* of `alloc` */
    uint64_t offset;
} girih_place;

/* What an open device is. The host clears it and sets `struct_size`; `describe` fills it in. */
typedef struct {
    uint32_t struct_size;
    uint32_t unused;
    /* Memory that there is in all; 0 where nobody knows. */
    uint64_t bytes;
    /* For people: "NVIDIA H200". UTF-8, ends with a zero. */
    char name[112];
} girih_device_info;

/* What a region writes where a guard fails whose read is an error: 32 bytes of the device's memory, aligned to 8. The
 * host clears them before the first region that shares them. Of guards that fail any one writes, but never over what
 * another wrote: `status` changes from 0 once. What a region computes after that does not matter. */
typedef struct {
    int64_t status;   /* the guard's own; 0: none failed */
    int64_t position; /* that was outside */
    int64_t extent;   /* the first position outside */
    int64_t launch;   /* which of the region's launches of kernels, from 0: counted in order, loops and branches from
                         outside in, of attention `interior`, `edge`, `mask` */
} girih_failure;

/* One run of a region. */
typedef struct {
    uint32_t struct_size;
    uint32_t buffer_count, symbol_count;
    uint32_t unused;
    /* One for each buffer of the region's outermost section, in order. Launches happen one after another. What one writes
     * overlaps nothing else that it touches but at the element that the same point of a kernel reads; buffers that no
     * launch touches both may share memory, so that one is lost when the other is written. A buffer without elements has
     * a place that nobody may touch. */
    const girih_place *buffers;
    /* One for each of the region's symbols, in order: sizes, and for `#draw KEY` the word that random numbers of this key
     * begin with in this run, as `engine/runtime/src/reference/random.rs` has it. */
    const int64_t *symbols;
    /* A girih_failure. */
    girih_place failure;
} girih_region_call;

/* A kind of device: one table for each. All functions are there but where NULL is said. */
typedef struct {
    uint32_t struct_size;
    uint32_t flags; /* 0 */
    /* As written after `--backend`: lower-case letters, digits, `-`, beginning with a letter; not `cpu`, not
     * `reference`. */
    const char *name;

    /* How well this machine serves: larger than 0, and 1 for what is as good as a processor. Nothing is
     * opened; where drivers are absent it says so.
     * - State: after `init`.   - Thread: [any].   - Errors: why this machine cannot serve, for people. */
    girih_status (*score)(void *self, const girih_host *host, double *score);

    /* Opens the device of a number, from 0 on. Opened twice it is two devices, each with an order of its own.
     * - State: after `init`.   - Thread: [any].   - Lifetime: until `close`; `host` forever.
     * - Errors: there is none of this number, or it does not answer. */
    girih_status (*open)(void *self, const girih_host *host, uint32_t number, void **device);

    /* Ends it. NULL where there is nothing to end.
     * - State: once, after all its memory was freed and all its regions were released.   - Thread: [any]. */
    void (*close)(void *device);

    /* What it is.
     * - State: open.   - Thread: [any].   - Errors: the device is then not used. */
    girih_status (*describe)(void *device, girih_device_info *out);

    /* Memory of `bytes`, 1 at least, aligned to 64 at least. Its content is arbitrary.
     * - State: open.   - Thread: [any].   - Lifetime: until `free`.
     * - Errors: GIRIH_MEMORY where there is not enough. */
    girih_status (*alloc)(void *device, uint64_t bytes, void **memory);

    /* Gives memory back, after what was asked before.
     * - State: once for each `alloc`.   - Thread: [any]. */
    void (*free)(void *device, void *memory);

    /* Copies from the host; `from` may be used again when it returns.
     * - State: open.   - Thread: [any].   - Errors: the memory is then unspecified. */
    girih_status (*write)(void *device, girih_place to, const void *from, uint64_t bytes);

    /* Copies to the host, and returns when that is done.
     * - State: open.   - Thread: [any].   - Errors: `to` is then unspecified. */
    girih_status (*read)(void *device, girih_place from, void *to, uint64_t bytes);

    /* Copies from place to place; the two do not overlap.
     * - State: open.   - Thread: [any].   - Errors: the memory is then unspecified. */
    girih_status (*copy)(void *device, girih_place to, girih_place from, uint64_t bytes);

    /* Returns when all that was asked is done. NULL where it always is.
     * - State: open.   - Thread: [any].   - Errors: of what was asked. */
    girih_status (*wait)(void *device);

    /* Makes code for a region: `text` has `length` bytes, and a zero after them. The host asks once for equal texts.
     * - State: open.   - Thread: [any].   - Lifetime: `text` until it returns; the region until `release`.
     * - Errors: GIRIH_UNSUPPORTED, with what it lacks: the host computes the region otherwise. Others end the run. */
    girih_status (*compile)(void *device, const char *text, uint64_t length, void **region);

    /* Runs a region on its device.
     * - State: after `compile` was done, before `release`.   - Thread: [any]; calls for one region may overlap.
     * - Lifetime: `call` and what it points at until it returns; memory until `free`.
     * - Errors: the run of the model ends; what is written is then unspecified, the region stays usable. */
    girih_status (*run)(void *region, const girih_region_call *call);

    /* Ends a region, after what was asked before. NULL where there is nothing to end.
     * - State: once, after the last run.   - Thread: [any]. */
    void (*release)(void *region);
} girih_device;

/* What `get(self, GIRIH_DEVICES)` gives. */
typedef struct {
    uint32_t struct_size;
    uint32_t count;
    const girih_device *const *devices;
} girih_devices;
#endif

/* ---- The plugin ---------------------------------------------------------------------------------------------------*/

/* Who the plugin is. Hosts find it in the file by its first bytes and read it before any code of the library runs.
 * Made by GIRIH_NOTE. Texts end with zeros; unused bytes are zero. */
typedef struct {
    char magic[16];
    uint32_t size;         /* 512 */
    uint16_t major, minor; /* the newest version spoken */
    uint16_t oldest_minor; /* the oldest minor of it that is also spoken */
    uint16_t unused;
    uint32_t reserved;
    char id[96];            /* reverse domain, unique: "org.example.flashkit" */
    char version[32];       /* "1.2.0" */
    char license[32];       /* "MIT OR Apache-2.0" */
    char url[128];          /* where to ask */
    char target[48];        /* GIRIH_TARGET */
    char capabilities[144]; /* with spaces between them: "girih.op/1 girih.device/1" */
} girih_note;

/* The plugin. */
typedef struct {
    uint32_t struct_size;
    /* The version that the tables speak: of host and plugin the smaller minor. */
    uint16_t major, minor;
    const girih_note *note;
    /* The text in the Girih language, at most 16 MiB. */
    const char *source;
    /* Capabilities of the host without which nothing works; NULL-ended, or NULL. */
    const char *const *needs;

    /* Makes `*self`. NULL where there is nothing to make.
     * - State: after `girih_plugin_query`, once for each `deinit`; may happen several times.   - Thread: [load]. */
    girih_status (*init)(const girih_host *host, void **self);

    /* Ends what `init` made. Processes may end without it, so nothing may depend on it. NULL: nothing to end.
     * - State: once for each `init` that was done, after every kernel was released and every device closed; the code
     *   stays loaded.   - Thread: [any]. */
    void (*deinit)(void *self);

    /* The table of a capability, or NULL. Valid until `deinit`; gives the same each time.
     * - State: after `init`.   - Thread: [load]. */
    const void *(*get)(void *self, const char *capability);
} girih_plugin;

/* The one exported function. Gives the tables for the newest version that both sides speak, or NULL if there is none.
 * - State: before everything else; may be called again, with another version.   - Thread: [load].
 * - Lifetime: `host` until it returns, the result forever. */
GIRIH_EXPORT const girih_plugin *girih_plugin_query(const girih_host_info *host);

/* The minor version to speak with `host`, or -1 if there is none. */
static inline int girih_negotiate(const girih_host_info *host) {
    const int own = GIRIH_MINOR, theirs = host->minor;
    if (host->major != GIRIH_MAJOR) return -1;
    return theirs < own ? theirs : own;
}

/* ---- The note -----------------------------------------------------------------------------------------------------*/

#if defined(__x86_64__) || defined(_M_X64)
#define GIRIH_ARCH "x86_64"
#elif defined(__aarch64__) || defined(_M_ARM64)
#define GIRIH_ARCH "aarch64"
#elif defined(__riscv) && __riscv_xlen == 64
#define GIRIH_ARCH "riscv64"
#else
#error "name this processor as Rust's std::env::consts::ARCH does, in GIRIH_ARCH"
#endif

#if defined(__linux__)
#define GIRIH_OS "linux"
#elif defined(__APPLE__)
#define GIRIH_OS "macos"
#elif defined(_WIN32)
#define GIRIH_OS "windows"
#else
#error "name this system as Rust's std::env::consts::OS does, in GIRIH_OS"
#endif

/* Processor and system that the library was built for. */
#define GIRIH_TARGET GIRIH_ARCH "-" GIRIH_OS

#if defined(__ELF__)
#define GIRIH_NOTE_PLACE __attribute__((used, section(".girih.note")))
#elif defined(__APPLE__)
#define GIRIH_NOTE_PLACE __attribute__((used, section("__DATA,__girih_note")))
#else
#define GIRIH_NOTE_PLACE
#endif

/* Defines the note `name`. Arguments are string literals; one that is too long does not compile in C++ and is a
 * warning in C. */
#define GIRIH_NOTE(name, id, version, license, url, capabilities)                                                  \
    GIRIH_NOTE_PLACE static const girih_note name = {                                                              \
        {0x7f, 'G', 'I', 'R', 'I', 'H', 0x1f, 'p', 'l', 'u', 'g', 'i', 'n', '\r', '\n', 0x1a},                     \
        512, GIRIH_MAJOR, GIRIH_MINOR, 0, 0, 0, id, version, license, url, GIRIH_TARGET, capabilities}

#ifdef __cplusplus
}
#endif

#endif /* GIRIH_PLUGIN_H_ */
