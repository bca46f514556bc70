/* meshsub store: the store of a node that does not run; and --store, of one that does. */
#include "cli/store.h"
#include "cli/commands.h"
#include "cli/keyring.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#ifdef MSUB_STORE_DISK
#include <meshsub/store_disk.h>
#endif

#ifdef MSUB_STORE_DISK

/* ---- of a node ---- */

struct node_store {
  const command *cmd;
  msub_store_disk *disk;
  bool failed; /* it was said */
  bool (*durable)(void *ud, msub_token token, int result);
  void *ud;
};

/* Once, until something succeeds again. */
static void on_durable(void *ud, msub_token token, int result) {
  node_store *s = ud;
  if (s->durable) (void)s->durable(s->ud, token, result);
  if (result != MSUB_OK && !s->failed)
    say_error(s->cmd->program, "--store %s%s", msub_store_disk_why(s->disk), msub_store_disk_broken(s->disk) ? "; SIGHUP tries again" : "");
  s->failed = result != MSUB_OK;
}

static int open_disk(const command *c, const msub_store_disk_opts *d, const char *then, node_store **out) {
  char why[MSUB_STORE_WHY];
  node_store *s = take(sizeof *s);
  *s = (node_store){ .cmd = c };
  if (msub_store_disk_open(d, &s->disk, why) != MSUB_OK) {
    free(s);
    say_error(c->program, "--store %s%s", why, then);
    return EXIT_FAILED;
  }
  msub_store store = store_of(s);
  store.ops->listen(store.s, on_durable, s);
  *out = s;
  return -1;
}

int store_open(node *n, msub_host_opts *o) {
  msub_store_disk_opts d;
  if (!n->store_path) return -1;
  msub_store_disk_opts_init(&d);
  d.dir = n->store_path;
  int code = open_disk(n->cmd, &d, n->store_or_memory ? "; going on without it" : "", &n->store);
  if (code >= 0) return n->store_or_memory ? -1 : code;
  n->kept = o->store = store_of(n->store);
  return -1;
}

int store_take(const command *c, const char *dir, bool make, node_store **out) {
  msub_store_disk_opts d;
  msub_store_disk_opts_init(&d);
  d.dir = dir;
  d.must_exist = !make;
  return open_disk(c, &d, "", out);
}

void store_listen(node_store *s, bool (*durable)(void *ud, msub_token token, int result), void *ud) {
  s->durable = durable;
  s->ud = ud;
}

msub_store store_of(const node_store *s) { return msub_store_disk_store(s->disk); }

void store_settle(node_store *s) {
  msub_store_disk_counts c;
  for (msub_store_disk_count(s->disk, &c); c.waiting; msub_store_disk_count(s->disk, &c)) {
    wait_fds(NULL, 0, store_next(s)); /* not its descriptor: who asks for that once has to watch it ever after */
    store_turn(s);
  }
}

uint64_t store_next(const node_store *s) {
  if (!s) return MSUB_NEVER;
  msub_store store = msub_store_disk_store(s->disk);
  return store.ops->next_deadline(store.s);
}

void store_turn(node_store *s) {
  if (!s) return;
  msub_store store = msub_store_disk_store(s->disk);
  const msub_now now = { mono_ns(), (int64_t)wall_ns() };
  store.ops->turn(store.s, &now);
}

/* What was submitted meanwhile is told first, which takes no disk. */
void store_retry(node_store *s) {
  char why[MSUB_STORE_WHY];
  msub_store_disk_counts c;
  if (!s || !msub_store_disk_broken(s->disk)) return;
  for (unsigned i = 0; i < 1000; i++) {
    store_turn(s);
    msub_store_disk_count(s->disk, &c);
    if (c.waiting == 0) break;
    wait_fds(NULL, 0, mono_ns() + 1000000);
  }
  int err = msub_store_disk_retry(s->disk, why);
  if (err == MSUB_OK) say_error(s->cmd->program, "--store: it is whole, and written again");
  else say_error(s->cmd->program, "--store %s; nothing is written, SIGHUP tries again", *why ? why : msub_err_text(err));
  s->failed = err != MSUB_OK;
}

void store_state(const node_store *s, json_t *out) {
  if (!s) return;
  json_t *j = json_object();
  json_object_set_new(j, "broken", json_boolean(msub_store_disk_broken(s->disk)));
  json_object_set_new(j, "why", json_string(s->failed ? msub_store_disk_why(s->disk) : ""));
  json_object_set_new(out, "store", j);
}

void store_metrics(node_store *s, const msub_metrics_opts *o) {
  msub_store_disk_counts c;
  if (!s) return;
  msub_store_disk_count(s->disk, &c);
#define MSUB_X(of) o->each(o->ud, &(msub_metric){ .name = "store_" #of "_total", .kind = MSUB_METRIC_COUNTER, .value = c.of });
  MSUB_STORE_DISK_COUNTS(MSUB_X)
#undef MSUB_X
  o->each(o->ud, &(msub_metric){ .name = "store_broken", .kind = MSUB_METRIC_GAUGE, .value = msub_store_disk_broken(s->disk) });
  o->each(o->ud, &(msub_metric){ .name = "store_waiting", .kind = MSUB_METRIC_GAUGE, .value = c.waiting });
  o->each(o->ud, &(msub_metric){ .name = "store_waiting_bytes", .kind = MSUB_METRIC_GAUGE, .value = c.waiting_bytes });
  o->each(o->ud, &(msub_metric){ .name = "store_keys", .kind = MSUB_METRIC_GAUGE, .value = c.keys });
  o->each(o->ud, &(msub_metric){ .name = "store_key_bytes", .kind = MSUB_METRIC_GAUGE, .value = c.key_bytes });
}

void store_close(node_store *s) {
  if (!s) return;
  int err = msub_store_disk_free(s->disk);
  if (err != MSUB_OK && !s->failed) say_error(s->cmd->program, "--store: the last of it could not be written: %s", msub_err_text(err));
  free(s);
}

/* ---- commands ---- */

/* The one argument of each. -1 and *dir, or an exit code. */
static int read_dir(const command *c, const option_row *rows, int argc, char **argv, const char **dir) {
  text_list args = { 0 };
  int code = options_read(c, rows, argc, argv, &args);
  if (code < 0 && args.n != 1) code = usage_error(c, args.n ? "one DIR only" : "DIR is missing; name the folder of a store");
  *dir = args.n ? args.v[0] : NULL;
  free(args.v);
  return code;
}

static msub_store_disk_opts opts_of(const char *dir) {
  msub_store_disk_opts o;
  msub_store_disk_opts_init(&o);
  o.dir = dir;
  o.must_exist = o.read_only = true;
  return o;
}

static int check(int argc, char **argv) {
  static const command c = { "meshsub store check", "DIR [options]",
                             "Reads all of a store: every page, value and record. Changes nothing.",
                             "Exit codes: 0 it is whole, 1 it cannot be opened, 2 wrong usage, 3 it is damaged." };
  bool json = false;
  const option_row rows[] = { { "--json", 0, OPT_FLAG, NULL, "Print one JSON object.", &json, 0, 0, NULL }, { 0 } };
  char why[MSUB_STORE_WHY];
  const char *dir;
  msub_store_disk *disk;
  msub_store_disk_counts n;
  uint64_t first, next;
  int code = read_dir(&c, rows, argc, argv, &dir);
  if (code >= 0) return code;
  msub_store_disk_opts o = opts_of(dir);
  o.verify = true;
  int err = msub_store_disk_open(&o, &disk, why);
  json_t *j = json ? json_object() : NULL;
  if (json) json_object_set_new(j, "dir", json_string(dir));
  if (json) json_object_set_new(j, "ok", json_boolean(err == MSUB_OK));
  if (err == MSUB_OK) {
    msub_store s = msub_store_disk_store(disk);
    msub_store_disk_count(disk, &n);
    s.ops->log_range(s.s, &first, &next);
    (void)msub_store_disk_free(disk);
  }
  if (err != MSUB_OK && json)
    json_object_set_new(j, "error", json_string(why));
  else if (err != MSUB_OK)
    say_error(c.program, "%s", why);
  else if (json) {
    json_object_set_new(j, "keys", json_integer((json_int_t)n.keys));
    json_object_set_new(j, "key_bytes", json_integer((json_int_t)n.key_bytes));
    json_object_set_new(j, "first", json_integer((json_int_t)first));
    json_object_set_new(j, "next", json_integer((json_int_t)next));
  } else {
    printf("whole: %" PRIu64 " keys in %" PRIu64 " bytes, %" PRIu64 " records\n", n.keys, n.key_bytes, next - first);
  }
  if (json) put_json(stdout, j);
  if (!flush_out(c.program, stdout)) return EXIT_FAILED;
  return err == MSUB_OK ? EXIT_OK : err == MSUB_ERR_MALFORMED ? EXIT_LATE : EXIT_FAILED;
}

typedef struct dumper {
  const command *c;
  bool json;
} dumper;

static bool dump_key(void *ud, msub_bytes key, msub_bytes value) {
  const dumper *d = ud;
  bool secret = key.n >= strlen(KEYRING_PREFIX) && memcmp(key.p, KEYRING_PREFIX, strlen(KEYRING_PREFIX)) == 0;
  if (d->json) {
    json_t *j = json_object();
    set_name(j, "key", key);
    if (secret) json_object_set_new(j, "secret_bytes", json_integer((json_int_t)value.n));
    else set_data(j, value);
    put_json(stdout, j);
  } else {
    fputs(quoted_bytes(key), stdout);
    if (secret) printf(" %zu bytes of a private key\n", value.n);
    else printf(" %zu bytes: %s\n", value.n, quoted_bytes(value));
  }
  return flush_out(d->c->program, stdout);
}

static bool dump_record(void *ud, uint64_t offset, msub_bytes record) {
  const dumper *d = ud;
  if (d->json) {
    json_t *j = json_object();
    json_object_set_new(j, "record", json_integer((json_int_t)offset));
    set_data(j, record);
    put_json(stdout, j);
  } else {
    printf("record %" PRIu64 " %zu bytes: %s\n", offset, record.n, quoted_bytes(record));
  }
  return flush_out(d->c->program, stdout);
}

static int dump(int argc, char **argv) {
  static const command c = { "meshsub store dump", "DIR [options]",
                             "Prints the keys of a store in order, then the records of its log. Long and unprintable\n"
                             "ones are cut and escaped; with --json they are whole. Private keys are never printed.",
                             "Exit codes: 0 done, 1 it cannot be opened, 2 wrong usage, 3 some of it could not be read." };
  const char *dir, *prefix = NULL;
  dumper d = { .c = &c };
  const option_row rows[] = { { "--prefix", 0, OPT_TEXT, "TEXT", "Only the keys that begin so, and no records.", &prefix, 0, 0, NULL },
                              { "--json", 0, OPT_FLAG, NULL, "One JSON object a line.", &d.json, 0, 0, NULL },
                              { 0 } };
  char why[MSUB_STORE_WHY];
  msub_store_disk *disk;
  int code = read_dir(&c, rows, argc, argv, &dir);
  if (code >= 0) return code;
  msub_store_disk_opts o = opts_of(dir);
  if (msub_store_disk_open(&o, &disk, why) != MSUB_OK) {
    say_error(c.program, "%s", why);
    return EXIT_FAILED;
  }
  msub_store s = msub_store_disk_store(disk);
  int err = s.ops->iterate(s.s, msub_str(prefix ? prefix : ""), dump_key, &d);
  if (!prefix) {
    int of_log = s.ops->log_iterate(s.s, 0, dump_record, &d);
    if (err == MSUB_OK) err = of_log;
  }
  (void)msub_store_disk_free(disk);
  if (err != MSUB_OK) say_error(c.program, "%s: some of it could not be read; \"meshsub store check\" says what", quoted(dir));
  return !flush_out(c.program, stdout) ? EXIT_FAILED : err == MSUB_OK ? EXIT_OK : EXIT_LATE;
}

static int compact(int argc, char **argv) {
  static const command c = { "meshsub store compact", "DIR [options]",
                             "Writes the file of the keys anew, without what is free in it. When that fails the old\n"
                             "file stands.",
                             "Exit codes: 0 done, 1 failed, 2 wrong usage." };
  const char *dir;
  bool json = false, cut = false;
  const option_row rows[] = { { "--cut-damage", 0, OPT_FLAG, NULL, "Cut a damaged log where the damage begins. What stands behind it\nis lost.", &cut, 0, 0, NULL },
                              { "--json", 0, OPT_FLAG, NULL, "Print one JSON object.", &json, 0, 0, NULL },
                              { 0 } };
  char why[MSUB_STORE_WHY];
  uint64_t before, after;
  int code = read_dir(&c, rows, argc, argv, &dir);
  if (code >= 0) return code;
  msub_store_disk_opts o = opts_of(dir);
  o.cut_damage = cut;
  if (msub_store_disk_compact(&o, &before, &after, why) != MSUB_OK) {
    say_error(c.program, "%s", why);
    return EXIT_FAILED;
  }
  if (json) {
    json_t *j = json_object();
    json_object_set_new(j, "before", json_integer((json_int_t)before));
    json_object_set_new(j, "after", json_integer((json_int_t)after));
    put_json(stdout, j);
  } else {
    printf("%" PRIu64 " bytes before, %" PRIu64 " after\n", before, after);
  }
  return flush_out(c.program, stdout) ? EXIT_OK : EXIT_FAILED;
}

#else /* a build without LMDB says so */

static int no_store(const char *program) {
  say_error(program, "this meshsub was built without a store on disk (MSUB_STORE_DISK)");
  return EXIT_FAILED;
}

int store_open(node *n, msub_host_opts *o) {
  (void)o;
  return n->store_path ? no_store(n->cmd->program) : -1;
}
int store_take(const command *c, const char *dir, bool make, node_store **out) { return (void)dir, (void)make, (void)out, no_store(c->program); }
void store_listen(node_store *s, bool (*durable)(void *ud, msub_token token, int result), void *ud) { (void)s, (void)durable, (void)ud; }
msub_store store_of(const node_store *s) { return (void)s, (msub_store){ NULL, NULL }; }
void store_settle(node_store *s) { (void)s; }
uint64_t store_next(const node_store *s) { return (void)s, MSUB_NEVER; }
void store_turn(node_store *s) { (void)s; }
void store_retry(node_store *s) { (void)s; }
void store_state(const node_store *s, json_t *out) { (void)s, (void)out; }
void store_metrics(node_store *s, const msub_metrics_opts *o) { (void)s, (void)o; }
void store_close(node_store *s) { (void)s; }
static int check(int argc, char **argv) { return (void)argc, (void)argv, no_store("meshsub store check"); }
static int dump(int argc, char **argv) { return (void)argc, (void)argv, no_store("meshsub store dump"); }
static int compact(int argc, char **argv) { return (void)argc, (void)argv, no_store("meshsub store compact"); }

#endif

int cmd_store(int argc, char **argv) {
  static const command c = { "meshsub store", "check DIR | dump DIR | compact DIR",
                             "Looks into the store that a node keeps with --store, while it does not run. \"meshsub\n"
                             "store check --help\" and so on say more.",
                             "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 damaged." };
  const option_row none[] = { { 0 } };
  if (argc > 1 && strcmp(argv[1], "check") == 0) return check(argc - 1, argv + 1);
  if (argc > 1 && strcmp(argv[1], "dump") == 0) return dump(argc - 1, argv + 1);
  if (argc > 1 && strcmp(argv[1], "compact") == 0) return compact(argc - 1, argv + 1);
  text_list args = { 0 };
  int code = options_read(&c, none, argc, argv, &args);
  if (code < 0 && args.n)
    code = usage_error(&c, "unknown command %s; there are check, dump and compact", quoted(args.v[0]));
  else if (code < 0)
    code = usage_error(&c, "what to do is missing; say check, dump or compact");
  free(args.v);
  return code;
}
