/* tests/host/test_trace_file.c: trace files: formats, a disk that is full and one that has room again, a buffer that is, live reading.
 * usage: test_trace_file CASE */
#define _POSIX_C_SOURCE 200809L
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include "check.h"
#include "engine_world.h"
#include "meshsub/trace_file.h"

static world w;
static msub_topic topic;
static char dir[] = "/tmp/meshsub-trace-XXXXXX", path[128];
static unsigned told;

static void on_log(void *ud, msub_log_level level, const char *module, const char *line) {
  (void)ud;
  CHECK(level == MSUB_LOG_WARN && strcmp(module, "trace") == 0 && strstr(line, "cannot be written"));
  told++;
}

static void begin(void) {
  world_init(&w, 1);
  w.ops.trace = NULL;
  world_start(&w, NULL);
  topic = world_join(&w, "news", NULL);
  CHECK(mkdtemp(dir) != NULL);
}
static void end(void) {
  world_stop(&w);
  (void)unlink(path);
  CHECK(rmdir(dir) == 0);
}

static msub_trace_file *open_file(const char *name, size_t buffer) {
  msub_trace_file_opts o;
  msub_trace_file *f;
  const char *why;
  msub_trace_file_opts_init(&o);
  (void)snprintf(path, sizeof path, "%s/%s", dir, name);
  o.path = name[0] == '/' ? name : path;
  o.log = (msub_log){ .fn = on_log, .level = MSUB_LOG_WARN };
  if (buffer) o.buffer_bytes = buffer;
  CHECK(msub_trace_file_open(&o, &f, &why) == MSUB_OK && why == NULL);
  return f;
}

/* A PUBLISH whose id is a number of four bytes. */
static void add(msub_trace_file *f, uint32_t i) {
  uint8_t id[4] = { (uint8_t)(i >> 24), (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i };
  msub_trace_file_add(f, w.e, &(msub_event){ .kind = MSUB_T_PUBLISH, .topic = topic, .id = { id, 4 } });
}

/* All of the file, decompressed if it is; *whole: it ends where it should. */
static uint8_t *slurp(size_t *n, bool *whole) {
  size_t cap = 1 << 20;
  uint8_t *p = malloc(cap);
  gzFile in = gzopen(path, "rb");
  CHECK(p && in);
  *n = 0;
  for (int k; (k = gzread(in, p + *n, (unsigned)(cap - *n))) > 0;) {
    *n += (size_t)k;
    if (*n == cap) CHECK((p = realloc(p, cap *= 2)) != NULL);
  }
  int err;
  (void)gzerror(in, &err);
  *whole = err == Z_OK;
  (void)gzclose_r(in);
  return p;
}

/* Records in the file; each id is above the one before. */
static uint32_t count_records(bool *whole, uint32_t *last) {
  size_t n;
  uint8_t *p = slurp(&n, whole);
  uint32_t records = 0;
  size_t at = 0;
  *last = 0;
  while (at < n) {
    uint64_t len;
    int used = msub_varint_get((msub_bytes){ p + at, n - at }, &len);
    if (used <= 0 || len > n - at - (size_t)used) {
      *whole = false;
      break;
    }
    char line[512];
    size_t chars = msub_trace_json((msub_bytes){ p + at + used, (size_t)len }, MSUB_TRACE_LINES, line, sizeof line - 1);
    CHECK(chars > 0 && chars < sizeof line);
    line[chars] = 0;
    const char *id = strstr(line, "\"id\":\"");
    CHECK(strncmp(line, "{\"ev\":\"publish\",", 16) == 0 && id);
    uint32_t number = (uint32_t)strtoul(id + 6, NULL, 16);
    CHECK(records == 0 || number > *last);
    *last = number;
    records++;
    at += (size_t)used + (size_t)len;
  }
  free(p);
  return records;
}

/* ---- cases ---- */

static void test_records(void) {
  static const char *const names[] = { "a.pb", "a.pb.gz", "trace", "trace.gz" };
  begin();
  for (unsigned i = 0; i < 4; i++) {
    msub_trace_file *f = open_file(names[i], 0);
    msub_trace_file_counts c;
    struct stat st;
    for (uint32_t k = 1; k <= 20000; k++) add(f, k);
    CHECK(msub_trace_file_close(f, &c) == MSUB_OK);
    CHECK(c.events == 20000 && c.kinds[MSUB_T_PUBLISH] == 20000 && c.lost == 0 && c.write_errors == 0);
    CHECK(stat(path, &st) == 0 && (uint64_t)st.st_size == c.bytes);
    bool whole;
    uint32_t last;
    CHECK(count_records(&whole, &last) == 20000 && whole && last == 20000);
    int fd = open(path, O_RDONLY);
    uint8_t head[2];
    CHECK(read(fd, head, 2) == 2 && close(fd) == 0);
    CHECK((head[0] == 0x1f && head[1] == 0x8b) == (i % 2 == 1));
    CHECK(unlink(path) == 0);
  }
  CHECK(told == 0);
  end();
}

static void test_lines(void) {
  static const struct { const char *name, *first; bool ours; } cases[] = { { "a.json", "{\"type\":0,", false }, { "a.json.gz", "{\"type\":0,", false },
    { "a.jsonl", "{\"ev\":\"publish\",", true }, { "a.jsonl.gz", "{\"ev\":\"publish\",", true } };
  begin();
  for (unsigned i = 0; i < 4; i++) {
    msub_trace_file *f = open_file(cases[i].name, 0);
    msub_trace_file_counts c;
    for (uint32_t k = 1; k <= 1000; k++) {
      add(f, k);
      msub_trace_file_add(f, w.e, &(msub_event){ .kind = MSUB_T_FAULT, .text = "test" }); /* no event of the format */
    }
    CHECK(msub_trace_file_close(f, &c) == MSUB_OK);
    CHECK(c.events == (cases[i].ours ? 2000 : 1000) && c.kinds[MSUB_T_FAULT] == (cases[i].ours ? 1000 : 0) && c.lost == 0);
    bool whole;
    size_t n, lines = 0;
    uint8_t *p = slurp(&n, &whole);
    CHECK(whole && n > 0 && memcmp(p, cases[i].first, strlen(cases[i].first)) == 0);
    for (size_t k = 0; k < n; k++) lines += p[k] == '\n';
    CHECK(lines == c.events && p[n - 1] == '\n');
    free(p);
    CHECK(unlink(path) == 0);
  }
  end();
}

/* A disk without room: told once, counted, the engine goes on, and close says so. */
static void test_full(void) {
  begin();
  for (unsigned i = 0; i < 2; i++) {
    msub_trace_file_opts o;
    msub_trace_file *f;
    msub_trace_file_counts c;
    msub_trace_file_opts_init(&o);
    o.path = "/dev/full";
    o.gzip = (int)i;
    o.buffer_bytes = 64 << 10;
    o.log = (msub_log){ .fn = on_log, .level = MSUB_LOG_WARN };
    told = 0;
    CHECK(msub_trace_file_open(&o, &f, NULL) == MSUB_OK);
    for (unsigned n = 0; n < 100; n++) {
      for (uint32_t k = 1; k <= 1000; k++) add(f, k);
      if (n < 5) sleep_ms(20);
    }
    msub_trace_file_count(f, &c);
    CHECK(c.bytes == 0 && c.write_errors > 0 && c.write_errors < 5 && c.events + c.lost == 100000 && c.lost > 50000);
    CHECK(told == 1);
    CHECK(msub_trace_file_close(f, &c) == MSUB_ERR_IO);
    CHECK(c.lost == 100000 && told == 1);
  }
  path[0] = 0;
  end();
}

/* Room again: the file goes on where it stopped, in the middle of a record or of a compressed block. */
static void test_resumed(void) {
  begin();
  (void)signal(SIGXFSZ, SIG_IGN);
  static const char *const names[] = { "a.pb", "a.pb.gz" };
  for (unsigned i = 0; i < 2; i++) {
    msub_trace_file *f = open_file(names[i], 1 << 20);
    msub_trace_file_counts c;
    struct rlimit lim, before;
    CHECK(getrlimit(RLIMIT_FSIZE, &before) == 0);
    lim = before;
    lim.rlim_cur = i ? 5001 : 100001;
    CHECK(setrlimit(RLIMIT_FSIZE, &lim) == 0);
    uint32_t k = 0;
    do {
      for (unsigned n = 0; n < 500; n++) add(f, ++k);
      sleep_ms(10);
      msub_trace_file_count(f, &c);
    } while (c.write_errors == 0);
    CHECK(c.bytes == lim.rlim_cur && c.lost == 0);
    while (c.lost == 0) { /* until the buffer is full */
      add(f, ++k);
      msub_trace_file_count(f, &c);
    }
    uint64_t kept = c.events;
    CHECK(setrlimit(RLIMIT_FSIZE, &before) == 0);
    for (unsigned n = 0; c.bytes == lim.rlim_cur; n++) { /* it tries every second */
      CHECK(n < 3000);
      sleep_ms(10);
      msub_trace_file_count(f, &c);
    }
    uint64_t lost = c.lost;
    sleep_ms(300);
    for (unsigned n = 0; n < 100; n++) add(f, ++k);
    CHECK(msub_trace_file_close(f, &c) == MSUB_OK);
    CHECK(c.lost == lost && c.events == kept + 100 && c.events + c.lost == k);
    bool whole;
    uint32_t last;
    CHECK(count_records(&whole, &last) == c.events && whole && last == k);
    CHECK(told == i + 1);
    CHECK(unlink(path) == 0);
  }
  end();
}

/* What was written can be read while the file is open. */
static void test_live(void) {
  static const char *const names[] = { "a.pb", "a.pb.gz" };
  begin();
  for (unsigned i = 0; i < 2; i++) {
    msub_trace_file *f = open_file(names[i], 0);
    uint32_t wanted = 0;
    for (unsigned round = 0; round < 3; round++) {
      for (unsigned n = 0; n < 10; n++) add(f, ++wanted);
      bool whole;
      uint32_t last = 0;
      for (unsigned n = 0; last != wanted; n++) {
        CHECK(n < 1500);
        sleep_ms(20);
        (void)count_records(&whole, &last);
      }
    }
    CHECK(msub_trace_file_close(f, NULL) == MSUB_OK);
    CHECK(unlink(path) == 0);
  }
  end();
}

/* A record that the buffer can never hold is lost, whole, and those around it are not. */
static void test_large(void) {
  static uint8_t frame[512 << 10];
  begin();
  msub_trace_file *f = open_file("a.pb", 64 << 10);
  msub_trace_file_counts c;
  for (size_t n = 0; n + 6 <= sizeof frame; n += 6) memcpy(frame + n, "\x1a\x04\x12\x02\x0a\x00", 6);
  add(f, 1);
  msub_trace_file_add(f, w.e, &(msub_event){ .kind = MSUB_T_RECV_RPC, .frame = { frame, sizeof frame / 6 * 6 } });
  add(f, 2);
  CHECK(msub_trace_file_close(f, &c) == MSUB_OK && c.events == 2 && c.lost == 1);
  bool whole;
  uint32_t last;
  CHECK(count_records(&whole, &last) == 2 && whole && last == 2);
  end();
}

static void test_options(void) {
  msub_trace_file_opts o;
  msub_trace_file *f = NULL;
  const char *why;
  begin();
  msub_trace_file_opts_init(&o);
  CHECK(msub_trace_file_open(&o, &f, &why) == MSUB_ERR_INVAL && why); /* no path */
  o.path = "";
  CHECK(msub_trace_file_open(&o, &f, &why) == MSUB_ERR_INVAL);
  o.path = "/tmp";
  CHECK(msub_trace_file_open(&o, &f, &why) == MSUB_ERR_IO && strstr(why, "directory"));
  o.path = "/dev/null";
  static const struct { size_t n; int want; } sizes[] = { { (64 << 10) - 1, MSUB_ERR_INVAL }, { 64 << 10, MSUB_OK }, { (size_t)1 << 30, MSUB_OK },
    { ((size_t)1 << 30) + 1, MSUB_ERR_INVAL } };
  for (unsigned i = 0; i < 4; i++) {
    o.buffer_bytes = sizes[i].n;
    CHECK(msub_trace_file_open(&o, &f, &why) == sizes[i].want);
    if (sizes[i].want == MSUB_OK) CHECK(msub_trace_file_close(f, NULL) == MSUB_OK);
  }
  o.buffer_bytes = 1 << 20;
  o.gzip = 2;
  CHECK(msub_trace_file_open(&o, &f, &why) == MSUB_ERR_INVAL);
  o.gzip = -1;
  o.format = (msub_trace_format)(MSUB_TRACE_FILE_LINES + 1);
  CHECK(msub_trace_file_open(&o, &f, &why) == MSUB_ERR_INVAL);
  o.format = MSUB_TRACE_FILE_BY_NAME;
  o.size--;
  CHECK(msub_trace_file_open(&o, &f, &why) == MSUB_ERR_INVAL);
  CHECK(msub_trace_file_close(NULL, NULL) == MSUB_OK);
  path[0] = 0;
  end();
}

static const test_case cases[] = { { "records", test_records }, { "lines", test_lines }, { "full", test_full }, { "resumed", test_resumed },
                                   { "live", test_live }, { "large", test_large }, { "options", test_options } };

int main(int argc, char **argv) { return run_cases(cases, sizeof cases / sizeof *cases, argc, argv); }
