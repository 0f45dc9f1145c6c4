/* One plugin with one planted defect, for each value of DEFECT; `girih plugin check` has to find it. */
#include "girih_plugin.h"

#include <stdlib.h>
#include <string.h>

enum {
    NONE, WRONG_VALUES, WRONG_GRADIENT, WRITES_BEYOND, WRITES_OPERAND, NEVER_ENDS, ABORTS, LEAKS, LEAKS_HOST, DIRTY_RESULT,
    THREAD_NUMBER, SHARED_STATE, NEEDS_ALIGNMENT, IGNORES_STRIDES, EMPTY_AXIS, HIDES_NAN, ALLOCATES_IN_RUN, LYING_NAME,
    LYING_TYPE, ALWAYS_NEWEST, ABSURD_COST, HALF_DTYPE, SHARED_OPERANDS
};

#define IS(defect) (DEFECT == (defect))

GIRIH_NOTE(note, "org.example.defect", "1.0.0", "MIT", "https://example.org", GIRIH_OPS);

/* A product of two vectors plus their sum, element by element, kept row by row. */
#define TEXT(name, result, factor)                                                                                     \
    "@native\n"                                                                                                        \
    "@gradient(back)\n"                                                                                                \
    "fn " name "(x: f32[r, n], y: f32[r, n]) -> " result " {\n"                                                        \
    "  z = x * y + x + y\n"                                                                                            \
    "  return z\n"                                                                                                     \
    "}\n"                                                                                                              \
    "fn back(x: f32[r, n], y: f32[r, n], z: f32[r, n], dz: f32[r, n]) -> (f32[r, n], f32[r, n]) {\n"                     \
    "  return (dz * (y + 1.0), dz * (x + " factor "))\n"                                                               \
    "}\n"

typedef struct {
    float *scratch;
} kernel;

static const DLTensor *first_of(const girih_call *call) { return call->operands; }

static girih_status prepare(void *self, const girih_spec *spec, girih_prepared *out) {
    (void)self;
    int single = spec->operands[0].dtype.code == kDLFloat && spec->operands[0].dtype.bits == 32;
    if (!single && !IS(HALF_DTYPE)) return spec->host->error(spec->host, GIRIH_UNSUPPORTED, "`f32` only");
    kernel *made = spec->host->alloc(spec->host, sizeof *made, 8);
    if (!made) return spec->host->error(spec->host, GIRIH_MEMORY, "no memory for a kernel");
    made->scratch = malloc(1024);
    if (made->scratch) memset(made->scratch, 1, 1024);
    out->kernel = made;
    out->workspace_bytes = 64;
    out->workspace_align = 64;
    return NULL;
}

static const girih_host *the_host;

static void release(void *data) {
    kernel *ended = data;
    if (!IS(LEAKS)) free(ended->scratch);
    if (!IS(LEAKS_HOST)) the_host->free(the_host, ended);
}

static volatile int shared_row;

static void row(void *data, uint64_t item, uint32_t thread) {
    const girih_call *call = data;
    const DLTensor *x = first_of(call), *y = x + 1, *z = call->results;
    int64_t n = z->shape[1], at = (int64_t)item;
    const int packed = IS(IGNORES_STRIDES);
    for (int64_t i = 0; i < n; i++) {
        int64_t px = packed ? at * n + i : at * x->strides[0] + i * x->strides[1];
        int64_t py = packed ? at * n + i : at * y->strides[0] + i * y->strides[1];
        float a = ((float *)x->data)[px], b = ((float *)y->data)[py];
        float c = a * b + a + b;
        if (IS(WRONG_VALUES) && n == 17 && i == 16) c += 0.5f;
        if (IS(HIDES_NAN) && c != c) c = 0;
        if (IS(THREAD_NUMBER) && thread > 0) c += (float)thread;
        if (IS(DIRTY_RESULT)) c += 0 * 1.0f + ((float *)z->data)[at * n + i];
        if (IS(SHARED_OPERANDS) && x->data == y->data) c = 0;
        ((float *)z->data)[at * n + i] = c;
        if (IS(WRITES_OPERAND)) ((float *)x->data)[px] = a;
    }
    if (IS(SHARED_STATE)) {
        /* Waits for another thread to come along, for a while. */
        shared_row = (int)at;
        if (call->threads > 1)
            for (volatile long wait = 0; wait < 20000000 && shared_row == (int)at; wait++) {}
        if (n > 0) ((float *)z->data)[at * n] += (float)(shared_row - (int)at);
    }
    if (IS(WRITES_BEYOND) && at == z->shape[0] - 1) ((float *)z->data)[z->shape[0] * n] = 1;
}

static girih_status run(void *data, const girih_call *call) {
    (void)data;
    const DLTensor *z = call->results;
    if (IS(NEVER_ENDS) && z->shape[1] == 3) for (volatile int on = 1; on;) {}
    if (IS(ABORTS) && z->shape[0] == 5) abort();
    if (IS(ALLOCATES_IN_RUN)) call->host->free(call->host, call->host->alloc(call->host, 8, 8));
    if (IS(NEEDS_ALIGNMENT) && (uintptr_t)z->data % 64 != 0 && z->shape[0] * z->shape[1] > 0)
        return call->host->error(call->host, GIRIH_INTERNAL, "not aligned to 64 bytes");
    if (IS(EMPTY_AXIS) && z->shape[1] == 0) return call->host->error(call->host, GIRIH_INTERNAL, "nothing to do");
    call->parallel_for(call, (uint64_t)z->shape[0], row, (void *)call);
    return NULL;
}

static girih_status cost(void *self, const girih_spec *spec, girih_cost *out) {
    (void)self;
    (void)spec;
    out->operations = IS(ABSURD_COST) ? -3 : 3;
    out->bytes = 12;
    return NULL;
}

static const girih_op op = {sizeof op, GIRIH_STRIDED, IS(LYING_NAME) ? "mixed" : "mix", prepare, run, release, cost};
static const girih_op *const all[] = {&op};
static const girih_ops ops = {sizeof ops, 1, all};

static girih_status init(const girih_host *host, void **self) {
    (void)self;
    the_host = host;
    return NULL;
}

static const void *get(void *self, const char *capability) {
    (void)self;
    return strcmp(capability, GIRIH_OPS) == 0 ? &ops : NULL;
}

const girih_plugin *girih_plugin_query(const girih_host_info *host) {
    static girih_plugin plugin;
    int minor = girih_negotiate(host);
    if (minor < 0) return NULL;
    plugin.struct_size = sizeof plugin;
    plugin.minor = (uint16_t)(IS(ALWAYS_NEWEST) ? GIRIH_MINOR : minor);
    plugin.note = &note;
    plugin.source = IS(WRONG_GRADIENT) ? TEXT("mix", "f32[r, n]", "2.0")
                    : IS(LYING_TYPE)   ? TEXT("mix", "f32[n, r]", "1.0")
                                       : TEXT("mix", "f32[r, n]", "1.0");
    plugin.init = init;
    plugin.get = get;
    return &plugin;
}
