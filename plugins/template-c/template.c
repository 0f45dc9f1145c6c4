/* A plugin to begin with, in C: change the text, change the kernel, run `girih plugin check`.
 *
 * Build it:   cc -O2 -shared -fPIC -o libtemplate_c.so template.c        (with girih_plugin.h beside it)
 *
 * The text says what `smooth` computes, its gradient, and how it goes on in a stream. Below it is only what makes it fast:
 * a kernel for `f32` that takes the channels on all threads. Whatever it refuses is computed from the text. */
#include "girih_plugin.h"

#include <string.h>

GIRIH_NOTE(note, "org.girih.template-c", "1.0.0", "MIT OR Apache-2.0", "https://github.com/girih/girih", GIRIH_OPS);

static const char source[] =
    "## An exponential average along `t`, with a decay for each channel.\n"
    "@native\n"
    "@gradient(smooth_gradient)\n"
    "fn smooth(x: f32[c, t], decay: f32[c]) -> f32[c, t] {\n"
    "  recurrence over t {\n"
    "    state s: f32[c] = 0\n"
    "    s' = decay * s + (1 - decay) * x\n"
    "    y = s'\n"
    "  }\n"
    "  return y\n"
    "}\n"
    "\n"
    "## The cotangents of `x` and `decay`, given those of the averages `y`.\n"
    "fn smooth_gradient(x: f32[c, t], decay: f32[c], y: f32[c, t], dy: f32[c, t]) -> (f32[c, t], f32[c]) {\n"
    "  recurrence over t reverse {\n"
    "    state g: f32[c] = 0\n"
    "    g' = decay * g + dy\n"
    "    u = g'\n"
    "  }\n"
    "  before[c, t] = y[t = t - 1] where t >= 1\n"
    "  along[c] = sum(t) u * (before - x)\n"
    "  return ((1 - decay) * u, along)\n"
    "}\n";

/* A kernel is made for one shape; this one needs nothing but to know that it can. */
static girih_status smooth_prepare(void *self, const girih_spec *spec, girih_prepared *out) {
    (void)self;
    (void)out;
    for (uint32_t i = 0; i < spec->operand_count; i++) {
        DLDataType dtype = spec->operands[i].dtype;
        if (dtype.code != kDLFloat || dtype.bits != 32)
            return spec->host->error(spec->host, GIRIH_UNSUPPORTED, "there is a kernel for `f32` only");
    }
    return NULL;
}

/* One channel. Runs on any thread of the host, beside the others. */
static void smooth_channel(void *data, uint64_t channel, uint32_t thread) {
    const girih_call *call = data;
    const int64_t length = call->operands[0].shape[1];
    const float *x = (const float *)call->operands[0].data + (int64_t)channel * length;
    const float keep = ((const float *)call->operands[1].data)[channel];
    float *y = (float *)call->results[0].data + (int64_t)channel * length;
    float state = 0;
    (void)thread;
    for (int64_t t = 0; t < length; t++) y[t] = state = keep * state + (1 - keep) * x[t];
}

static girih_status smooth_run(void *kernel, const girih_call *call) {
    (void)kernel;
    call->parallel_for(call, (uint64_t)call->operands[0].shape[0], smooth_channel, (void *)call);
    return NULL;
}

static girih_status smooth_cost(void *self, const girih_spec *spec, girih_cost *out) {
    double count = (double)spec->operands[0].shape[0] * (double)spec->operands[0].shape[1];
    (void)self;
    out->operations = 4 * count;
    out->bytes = 8 * count;
    return NULL;
}

static const girih_op smooth = {sizeof smooth, 0, "smooth", smooth_prepare, smooth_run, NULL, smooth_cost};
static const girih_op *const all[] = {&smooth};
static const girih_ops ops = {sizeof ops, 1, all};

static const void *get(void *self, const char *capability) {
    (void)self;
    return strcmp(capability, GIRIH_OPS) == 0 ? &ops : NULL;
}

const girih_plugin *girih_plugin_query(const girih_host_info *host) {
    static girih_plugin plugin[GIRIH_MINOR + 1];
    int minor = girih_negotiate(host);
    if (minor < 0) return NULL;
    girih_plugin made = {sizeof made, GIRIH_MAJOR, (uint16_t)minor, &note, source, NULL, NULL, NULL, get};
    plugin[minor] = made;
    return &plugin[minor];
}
