/* A device in C whose memory is the processor's and that refuses every region; and devices that break the border, one for
 * each value of BROKEN. Tests build them and see what the host says. */
#include "girih_plugin.h"

#include <stdlib.h>
#include <string.h>

enum {
    NONE, SMALL_DEVICES, HUGE_COUNT, NULL_LIST, NULL_TABLE, SMALL_TABLE, NULL_NAME, SHOUTING_NAME, HOST_NAME, TWICE,
    NULL_SCORE, NULL_OPEN, NULL_DESCRIBE, NULL_ALLOC, NULL_FREE, NULL_WRITE, NULL_READ, NULL_COPY, NULL_COMPILE, NULL_RUN,
    NO_DRIVER, NAN_SCORE, ZERO_SCORE, STRAY_SCORE, OPEN_FAILS, DESCRIBE_FAILS, BAD_INFO_NAME, ENDLESS_INFO_NAME,
    NO_MEMORY, NOTHING_FOR_MEMORY, WRITE_FAILS, READ_FAILS, STRAY_READ, COMPILE_FAILS, RUN_FAILS, SHORT_COPY, LAZY
};

GIRIH_NOTE(note, "org.example.device", "1.0.0", "MIT", "https://example.org", GIRIH_DEVICES);

static const girih_host *host_of;

static girih_status failed(uint32_t code, const char *message) { return host_of->error(host_of, code, message); }

static girih_status score(void *self, const girih_host *host, double *out) {
    (void)self;
    host_of = host;
    if (BROKEN == NO_DRIVER) return failed(GIRIH_UNSUPPORTED, "there is no driver");
    if (BROKEN == STRAY_SCORE) return (girih_status)&note;
    *out = BROKEN == NAN_SCORE ? 0.0 / (double)(host == NULL) : BROKEN == ZERO_SCORE ? 0.0 : 0.5;
    return NULL;
}

static girih_status open(void *self, const girih_host *host, uint32_t number, void **device) {
    (void)self;
    host_of = host;
    if (BROKEN == OPEN_FAILS || number > 0) return failed(GIRIH_INVALID, "there is no such device");
    *device = (void *)&host_of;
    return NULL;
}

static girih_status describe(void *device, girih_device_info *out) {
    (void)device;
    if (BROKEN == DESCRIBE_FAILS) return failed(GIRIH_INTERNAL, "it does not answer");
    if (BROKEN == ENDLESS_INFO_NAME) memset(out->name, 'x', sizeof out->name);
    else strcpy(out->name, BROKEN == BAD_INFO_NAME ? "\xff" : "memory of the processor");
    return NULL;
}

static girih_status alloc(void *device, uint64_t bytes, void **memory) {
    (void)device;
    if (BROKEN == NO_MEMORY) return failed(GIRIH_MEMORY, "it is full");
    *memory = BROKEN == NOTHING_FOR_MEMORY ? NULL : malloc((size_t)bytes);
    return NULL;
}

static void free_memory(void *device, void *memory) {
    (void)device;
    free(memory);
}

static girih_status write(void *device, girih_place to, const void *from, uint64_t bytes) {
    (void)device;
    if (BROKEN == WRITE_FAILS) return failed(GIRIH_INTERNAL, "the bus is broken");
    memcpy((char *)to.memory + to.offset, from, (size_t)bytes);
    return NULL;
}

static girih_status read(void *device, girih_place from, void *to, uint64_t bytes) {
    (void)device;
    if (BROKEN == READ_FAILS) return failed(GIRIH_INTERNAL, "the bus is broken");
    if (BROKEN == STRAY_READ) return (girih_status)&note;
    memcpy(to, (const char *)from.memory + from.offset, (size_t)bytes);
    return NULL;
}

static girih_status copy(void *device, girih_place to, girih_place from, uint64_t bytes) {
    (void)device;
    if (BROKEN == SHORT_COPY) bytes /= 2;
    memcpy((char *)to.memory + to.offset, (const char *)from.memory + from.offset, (size_t)bytes);
    return NULL;
}

static girih_status compile(void *device, const char *text, uint64_t length, void **region) {
    (void)device;
    if (strlen(text) != length) return failed(GIRIH_INTERNAL, "the text has another length");
    if (BROKEN == COMPILE_FAILS) return failed(GIRIH_INTERNAL, "the compiler is broken");
    if (BROKEN != RUN_FAILS && BROKEN != LAZY) return failed(GIRIH_UNSUPPORTED, "nothing is known here");
    *region = NULL;
    return NULL;
}

static girih_status run(void *region, const girih_region_call *call) {
    (void)region;
    (void)call;
    if (BROKEN == LAZY) return NULL;
    return failed(GIRIH_INTERNAL, "it caught fire");
}

static girih_device device = {sizeof device, 0, "slate", score, open, NULL, describe, alloc, free_memory, write, read,
                              copy, NULL, compile, run, NULL};
static const girih_device *all[2] = {&device, &device};
static girih_devices devices = {sizeof devices, 1, all};

static const void *get(void *self, const char *capability) {
    (void)self;
    return strcmp(capability, GIRIH_DEVICES) == 0 ? &devices : NULL;
}

static girih_plugin plugin;

const girih_plugin *girih_plugin_query(const girih_host_info *host) {
    int minor = girih_negotiate(host);
    if (minor < 0) return NULL;
    memset(&plugin, 0, sizeof plugin);
    plugin.struct_size = sizeof plugin;
    plugin.major = GIRIH_MAJOR;
    plugin.minor = (uint16_t)minor;
    plugin.note = &note;
    plugin.source = "";
    plugin.get = get;
    switch (BROKEN) {
    case SMALL_DEVICES: devices.struct_size = 4; break;
    case HUGE_COUNT: devices.count = 0xffffffff; break;
    case NULL_LIST: devices.devices = NULL; break;
    case NULL_TABLE: all[0] = NULL; break;
    case SMALL_TABLE: device.struct_size = 16; break;
    case NULL_NAME: device.name = NULL; break;
    case SHOUTING_NAME: device.name = "SLATE"; break;
    case HOST_NAME: device.name = "cpu"; break;
    case TWICE: devices.count = 2; break;
    case NULL_SCORE: device.score = NULL; break;
    case NULL_OPEN: device.open = NULL; break;
    case NULL_DESCRIBE: device.describe = NULL; break;
    case NULL_ALLOC: device.alloc = NULL; break;
    case NULL_FREE: device.free = NULL; break;
    case NULL_WRITE: device.write = NULL; break;
    case NULL_READ: device.read = NULL; break;
    case NULL_COPY: device.copy = NULL; break;
    case NULL_COMPILE: device.compile = NULL; break;
    case NULL_RUN: device.run = NULL; break;
    default: break;
    }
    return &plugin;
}
