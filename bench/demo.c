/* meshsub-demo: nodes of ours and of go-libp2p-pubsub, each connected to its neighbours in a ring; they build
 * a gossipsub mesh over some of these connections. One publishes every line of a text, all others must get
 * every line exactly once, whoever relayed it. */
#include "bench/control.h"
#include "bench/measure.h"
#include "cli/options.h"
#include <errno.h>
#include <fcntl.h>
#include <meshsub/crypto.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PROGRAM "meshsub-demo"
#define TOPIC "demo"
#define NODES_MAX 64
#define WINDOW 64 /* lines that the slowest node may be behind */
#define READY_NS 30000000000
#define REACH 3 /* each connects to so many behind it in the ring */
#define MESH_D 5
#define MESH_LOW 4     /* with ten nodes no part of the ring can be a mesh of its own */
#define MESH_HIGH 8    /* above the connections of a node: nobody is put out again */
#define PORTION 256    /* messages of one `inbox` */
#define NAMED_MAX 12   /* line numbers in a cell of the table */
#define PING_COUNT 500 /* messages of the latency phase */
#define PING_SIZE 256

typedef struct line {
  msub_bytes data;
  char sha256[65], id[300]; /* id: as the publisher's own inbox names it */
} line;

typedef struct demo_node {
  control c;
  bool go;
  unsigned links;
  bool mesh[NODES_MAX]; /* who is in its mesh */
  unsigned n_mesh;
  uint16_t *got; /* per line: how often */
  size_t distinct, again, wrong, unknown;
  int64_t dropped; /* by the inbox */
  double p50, p99; /* us */
} demo_node;

typedef struct demo {
  const char *file, *go, *no_go, *peer;
  uint64_t ours, go_nodes, timeout;
  demo_node nodes[NODES_MAX];
  size_t n;
  line *lines;
  size_t n_lines, n_ids;
  size_t *by_id; /* an open-addressed table of lines: index + 1 */
  size_t by_id_size;
  lines input;
} demo;

/* ---- the text ---- */

static void add_line(demo *d, msub_bytes text) {
  uint8_t digest[32], *copy = take(text.n);
  if (text.n) memcpy(copy, text.p, text.n);
  d->lines = grow(d->lines, d->n_lines + 1, sizeof *d->lines);
  line *l = &d->lines[d->n_lines++];
  *l = (line){ .data = { copy, text.n } };
  msub_sha256(l->data, digest);
  put_hex(l->sha256, (msub_bytes){ digest, sizeof digest });
}

static bool read_file(demo *d) {
  int fd = open(d->file, O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    say_error(PROGRAM, "%s: cannot be read: %s; name another text with --file", quoted(d->file),
              strerror(errno));
    return false;
  }
  msub_bytes text;
  bool good = true;
  lines_init(&d->input, fd, 1u << 19);
  while (good && !d->input.end) {
    good = lines_fill(&d->input);
    while (lines_next(&d->input, &text)) add_line(d, text);
    good = good && !d->input.too_long && d->n_lines < 100000;
  }
  lines_free(&d->input);
  close(fd);
  if (!good || !d->n_lines) {
    say_error(PROGRAM, "%s: not a text with 1 to 100000 lines of at most 512 KiB", quoted(d->file));
    return false;
  }
  d->by_id_size = 1024;
  while (d->by_id_size < 4 * d->n_lines) d->by_id_size *= 2;
  d->by_id = take(d->by_id_size * sizeof *d->by_id);
  return true;
}

/* The place of an id in the table: its entry, or the free one that it would take. */
static size_t *id_place(demo *d, const char *id) {
  uint64_t h = UINT64_C(0xcbf29ce484222325);
  for (const char *p = id; *p; p++) h = (h ^ (uint8_t)*p) * UINT64_C(0x100000001b3);
  size_t i = (size_t)(h ^ h >> 32) & (d->by_id_size - 1);
  while (d->by_id[i] && strcmp(d->lines[d->by_id[i] - 1].id, id) != 0) i = (i + 1) & (d->by_id_size - 1);
  return &d->by_id[i];
}

/* ---- the network ---- */

static bool failed(const control *c) {
  say_error(PROGRAM, "%s", c->error);
  return false;
}

static json_t *make_cfg(const demo *d) {
  return json_pack("{s:[s], s:b, s:s, s:s, s:i, s:i, s:i, s:i, s:i, s:I}", "topics", TOPIC, "signed", 1,
                   "policy", "strict_sign", "router", "gossipsub", "D", MESH_D, "Dlo", MESH_LOW, "Dhi",
                   MESH_HIGH, "Dout", 1, "Dscore", 2, "inbox", (json_int_t)(2 * d->n_lines + 4 * PING_COUNT));
}

/* Go nodes stand among ours: behind a third and two thirds of them. */
static bool start_nodes(demo *d) {
  size_t total = d->ours + d->go_nodes, ours = 0, go = 0;
  for (; d->n < total; d->n++) {
    demo_node *n = &d->nodes[d->n];
    n->go = go < d->go_nodes && ours * (d->go_nodes + 1) >= d->ours * (go + 1);
    char name[32];
    snprintf(name, sizeof name, "%s-%zu", n->go ? "go" : "meshsub", n->go ? ++go : ++ours);
    n->got = take(d->n_lines * sizeof *n->got);
    if (!control_spawn(&n->c, name, n->go ? d->go : d->peer) || !control_start(&n->c, make_cfg(d)) ||
        !control_do(&n->c, "subscribe", NULL)) {
      d->n++; /* it has to be ended, too */
      return failed(&n->c);
    }
  }
  return true;
}

static bool link_nodes(demo *d, size_t a, size_t b) {
  d->nodes[a].links++;
  d->nodes[b].links++;
  control *c = &d->nodes[a].c;
  return control_do(c, "dial", json_pack("{s:s}", "addr", d->nodes[b].c.addr)) || failed(c);
}

/* A ring, in which each knows REACH nodes on either side. */
static bool connect_nodes(demo *d) {
  size_t reach = d->n > 2 * REACH ? REACH : (d->n - 1) / 2;
  if (d->n == 2) return link_nodes(d, 0, 1);
  for (size_t i = 0; i < d->n; i++)
    for (size_t k = 1; k <= reach; k++)
      if (!link_nodes(d, i, (i + k) % d->n)) return false;
  return true;
}

/* ---- the mesh ---- */

static bool ask_mesh(demo *d, demo_node *n) {
  json_t *reply = control_request(&n->c, "mesh", json_pack("{s:s}", "topic", TOPIC), READY_NS), *list, *each;
  size_t i;
  if (!reply) return failed(&n->c);
  n->n_mesh = 0;
  memset(n->mesh, 0, sizeof n->mesh);
  list = json_object_get(reply, "mesh_peers");
  json_array_foreach(list, i, each) {
    const char *id = json_string_value(each);
    size_t k = 0;
    while (k < d->n && (!id || strcmp(id, d->nodes[k].c.peer) != 0)) k++;
    if (k == d->n) continue;
    n->mesh[k] = true;
    n->n_mesh++;
  }
  json_decref(reply);
  return true;
}

/* Everybody has enough, and what one end says the other says, too. */
static bool mesh_stands(const demo *d) {
  for (size_t i = 0; i < d->n; i++) {
    const demo_node *n = &d->nodes[i];
    if (n->n_mesh < (n->links < MESH_LOW ? n->links : MESH_LOW)) return false;
    for (size_t k = 0; k < d->n; k++)
      if (n->mesh[k] != d->nodes[k].mesh[i]) return false;
  }
  return true;
}

static void print_mesh(const demo *d) {
  unsigned links = 0, pairs = 0;
  printf("\n%-12s %5s  %s\n", "node", "mesh", "its mesh peers");
  for (size_t i = 0; i < d->n; i++) {
    const demo_node *n = &d->nodes[i];
    printf("%-12s %5u ", n->c.name, n->n_mesh);
    for (size_t k = 0; k < d->n; k++)
      if (n->mesh[k]) printf(" %s", d->nodes[k].c.name);
    putchar('\n');
    links += n->links;
    pairs += n->n_mesh;
  }
  printf("%u of %u connections are in the mesh; the others carry gossip\n\n", pairs / 2, links / 2);
  fflush(stdout);
}

static bool await_mesh(demo *d) {
  uint64_t deadline = mono_ns() + READY_NS;
  for (;;) {
    for (size_t i = 0; i < d->n; i++)
      if (!ask_mesh(d, &d->nodes[i])) return false;
    if (mesh_stands(d)) return true;
    if (mono_ns() > deadline) {
      print_mesh(d);
      say_error(PROGRAM, "the mesh is not whole within %s", duration_text(READY_NS));
      return false;
    }
    nanosleep(&(struct timespec){ .tv_nsec = 50000000 }, NULL);
  }
}

/* ---- the text through the network ---- */

static json_t *next_messages(control *c, int64_t *dropped) {
  json_t *q = json_pack("{s:s, s:i}", "topic", TOPIC, "max", PORTION);
  json_t *reply = control_request(c, "inbox", q, READY_NS), *list;
  if (!reply) return NULL;
  *dropped += json_number(reply, "dropped");
  list = json_incref(json_object_get(reply, "messages"));
  json_decref(reply);
  return list;
}

/* The publisher gets its own messages in order: the n-th is line n, and tells that line's id. */
static bool take_own_portion(demo *d) {
  demo_node *n = &d->nodes[0];
  json_t *list = next_messages(&n->c, &n->dropped), *m;
  size_t i;
  if (!list) return failed(&n->c);
  json_array_foreach(list, i, m) {
    const char *id = json_string_value(json_object_get(m, "id"));
    const char *digest = json_string_value(json_object_get(m, "sha256"));
    if (!id || !digest || d->n_ids == d->n_lines || strcmp(digest, d->lines[d->n_ids].sha256) != 0) {
      say_error(PROGRAM, "the publisher's own messages are not the lines in their order");
      json_decref(list);
      return false;
    }
    size_t *place = id_place(d, id);
    snprintf(d->lines[d->n_ids].id, sizeof d->lines->id, "%s", id);
    *place = ++d->n_ids;
  }
  json_decref(list);
  return true;
}

/* All that were sent: only then the others' messages can be told apart. */
static bool take_own(demo *d, size_t sent) {
  uint64_t deadline = mono_ns() + READY_NS;
  while (d->n_ids < sent) {
    if (!take_own_portion(d)) return false;
    if (mono_ns() > deadline) {
      say_error(PROGRAM, "the publisher itself got %zu of its %zu messages", d->n_ids, sent);
      return false;
    }
  }
  return true;
}

static void take_one(demo *d, demo_node *n, const json_t *m) {
  const char *id = json_string_value(json_object_get(m, "id"));
  const char *digest = json_string_value(json_object_get(m, "sha256"));
  const char *from = json_string_value(json_object_get(m, "from"));
  size_t at = id ? *id_place(d, id) : 0;
  if (!at) {
    n->unknown++;
  } else if (!digest || strcmp(digest, d->lines[at - 1].sha256) != 0 || !from ||
             strcmp(from, d->nodes[0].c.peer) != 0) {
    n->wrong++;
  } else if (n->got[at - 1]++) {
    n->again++;
  } else {
    n->distinct++;
  }
}

static bool take_others(demo *d) {
  for (size_t k = 1; k < d->n; k++) {
    demo_node *n = &d->nodes[k];
    json_t *list = next_messages(&n->c, &n->dropped), *m;
    size_t i;
    if (!list) return failed(&n->c);
    json_array_foreach(list, i, m) take_one(d, n, m);
    json_decref(list);
  }
  return true;
}

static size_t slowest(const demo *d) {
  size_t least = d->n_lines;
  for (size_t k = 1; k < d->n; k++)
    if (d->nodes[k].distinct < least) least = d->nodes[k].distinct;
  return least;
}

static bool send_line(demo *d, size_t i) {
  control *c = &d->nodes[0].c;
  char *hex = take(2 * d->lines[i].data.n + 1);
  put_hex(hex, d->lines[i].data);
  bool sent = control_do(c, "send", json_pack("{s:s, s:s}", "topic", TOPIC, "data", hex));
  free(hex);
  return sent || failed(c);
}

/* Everything has arrived, or nothing has for a while. */
static bool publish_text(demo *d) {
  uint64_t deadline = mono_ns() + d->timeout;
  size_t sent = 0, before = 0;
  while (slowest(d) < d->n_lines) {
    size_t least = slowest(d);
    while (sent < d->n_lines && sent < least + WINDOW)
      if (!send_line(d, sent++)) return false;
    if (!take_own(d, sent) || !take_others(d)) return false;
    least = slowest(d);
    if (least > before) deadline = mono_ns() + d->timeout;
    if (least == before) nanosleep(&(struct timespec){ .tv_nsec = 2000000 }, NULL);
    before = least;
    if (mono_ns() > deadline) return true; /* what is missing is said in the table */
  }
  /* A second copy on its way would come about now. */
  nanosleep(&(struct timespec){ .tv_nsec = 200000000 }, NULL);
  return take_others(d);
}

/* ---- latency ---- */

/* Stamped messages, at most four on their way. */
static bool measure_latency(demo *d) {
  control *pub = &d->nodes[0].c;
  for (size_t k = 1; k < d->n; k++) {
    control *c = &d->nodes[k].c;
    json_t *q = json_pack("{s:i, s:i, s:i, s:i, s:s, s:b}", "seed", 1, "size", PING_SIZE, "expect",
                          PING_COUNT, "ack_every", 1, "credit", pub->credit, "lat", 1);
    if (!control_do(c, "reset", q)) return failed(c);
  }
  json_t *q = json_pack("{s:i, s:i, s:i, s:i, s:i, s:I}", "seed", 1, "count", PING_COUNT, "size", PING_SIZE,
                        "window", 4, "rate", 0, "receivers", (json_int_t)(d->n - 1));
  if (!control_do(pub, "publish", q)) return failed(pub);
  for (size_t k = 1; k < d->n; k++) {
    demo_node *n = &d->nodes[k];
    json_t *done = control_event(&n->c, "done", 1, d->timeout);
    json_t *lat = done ? control_request(&n->c, "lat", NULL, READY_NS) : NULL;
    json_decref(done);
    if (!lat) return failed(&n->c);
    n->p50 = (double)json_number(lat, "p50") / 1e3;
    n->p99 = (double)json_number(lat, "p99") / 1e3;
    json_decref(lat);
  }
  return true;
}

/* ---- the report ---- */

/* "3, 17-19, 44": the lines of a node that came `wanted` times (2: twice or more). */
static void print_numbers(const demo *d, const demo_node *n, const char *what, unsigned wanted) {
  unsigned named = 0;
  for (size_t i = 0; i < d->n_lines; i++) {
    size_t end = i;
    while (end < d->n_lines && (wanted ? n->got[end] >= wanted : n->got[end] == 0)) end++;
    if (end == i) continue;
    if (named == NAMED_MAX) {
      printf(", ...");
      break;
    }
    printf("%s%s%zu", named ? ", " : "", named ? "" : what, i + 1);
    if (end - i > 1) printf("-%zu", end);
    named++;
    i = end;
  }
}

static void print_node(const demo *d, const demo_node *n) {
  if (n == d->nodes) {
    printf("%-12s %6s  %9s %10s %10s  publishes %zu lines\n", n->c.name, "-", "-", "-", "-", d->n_lines);
    return;
  }
  printf("%-12s %6zu  %9zu %10.0f %10.0f  ", n->c.name, n->distinct, n->again, n->p50, n->p99);
  print_numbers(d, n, "missing lines ", 0);
  if (n->again) print_numbers(d, n, n->distinct < d->n_lines ? "; twice " : "twice ", 2);
  if (n->wrong) printf(" %zu with other bytes or author", n->wrong);
  if (n->unknown) printf(" %zu that nobody published", n->unknown);
  if (n->dropped) printf(" %lld did not fit the inbox", (long long)n->dropped);
  if (n->distinct == d->n_lines && !n->again && !n->wrong && !n->unknown) printf("all");
  putchar('\n');
}

static bool report(const demo *d, double seconds) {
  size_t delivered = 0, faults = 0, go = 0;
  series p50 = { 0 }, p99 = { 0 };
  printf("\n%-12s %6s  %9s %10s %10s  %s\n", "node", "lines", "twice", "p50 us", "p99 us", "lines received");
  for (size_t k = 0; k < d->n; k++) {
    const demo_node *n = &d->nodes[k];
    print_node(d, n);
    go += n->go;
    if (k == 0) continue;
    delivered += n->distinct;
    faults += n->again + n->wrong + n->unknown;
    series_add(&p50, n->p50);
    series_add(&p99, n->p99);
  }
  printf("\nlatency: p50 %.0f us (median of the nodes), p99 %.0f us (the slowest node), time of the text "
         "%.2f s\n",
         series_summary(&p50).median, series_summary(&p99).most, seconds);
  printf("nodes: %zu meshsub, %zu go", d->n - go, go);
  if (!go) printf(" (%s)", d->no_go ? d->no_go : "none was named");
  size_t all = d->n_lines * (d->n - 1);
  printf("\ndelivered %zu of %zu\n", delivered, all);
  return delivered == all && !faults;
}

static bool run(demo *d) {
  if (!read_file(d)) return false;
  printf("starting %zu nodes of meshsub and %zu of go-libp2p-pubsub\n", (size_t)d->ours, (size_t)d->go_nodes);
  fflush(stdout);
  uint64_t began = mono_ns();
  if (!start_nodes(d) || !connect_nodes(d) || !await_mesh(d)) return false;
  printf("connected in a ring, each to %u others; the gossipsub mesh stands after %.2f s:\n",
         d->nodes[0].links, (double)(mono_ns() - began) / 1e9);
  print_mesh(d);
  printf("%s publishes %zu lines of %s\n", d->nodes[0].c.name, d->n_lines, d->file);
  fflush(stdout);
  uint64_t from = mono_ns();
  if (!publish_text(d)) return false;
  double seconds = (double)(mono_ns() - from) / 1e9;
  bool whole = slowest(d) == d->n_lines; /* without that a closed loop would not end */
  if (whole && !measure_latency(d)) return false;
  return report(d, seconds);
}

static const char *own_peer(void) {
  static char path[4096];
  ssize_t n = readlink("/proc/self/exe", path, sizeof path - 16);
  path[n > 0 ? n : 0] = 0;
  char *slash = strrchr(path, '/');
  strcpy(slash ? slash + 1 : path, "meshsub-peer");
  return path;
}

static void clean(demo *d) {
  for (size_t k = 0; k < d->n; k++) {
    control_end(&d->nodes[k].c);
    free(d->nodes[k].got);
  }
  for (size_t i = 0; i < d->n_lines; i++) free((void *)(uintptr_t)d->lines[i].data.p);
  free(d->lines);
  free(d->by_id);
}

int main(int argc, char **argv) {
  static const command c = {
    PROGRAM, "[options]",
    "Starts nodes on loopback, connects them in a ring, each to its neighbours, waits for their\n"
    "gossipsub mesh and shows it, publishes every line of a text at one of them and says who\n"
    "received what. The last line counts the deliveries.",
    "Exit codes: 0 every node got every line exactly once, 1 it did not, 2 wrong usage."
  };
  static demo d = {
    .file = "/usr/share/common-licenses/GPL-3", .ours = 8, .go_nodes = 2, .timeout = 10000000000
  };
  const option_row rows[] = {
    { "--file", 0, OPT_TEXT, "FILE", "The text. Default: /usr/share/common-licenses/GPL-3.", &d.file, 0, 0,
      NULL },
    { "--peer", 0, OPT_TEXT, "CMD", "Our node. Default: meshsub-peer beside this program.", &d.peer, 0, 0,
      NULL },
    { "--nodes", 0, OPT_NUMBER, "N", "How many of them. Default 8.", &d.ours, 2, NODES_MAX / 2, NULL },
    { "--go", 0, OPT_TEXT, "CMD", "A node of go-libp2p-pubsub; some are put among ours.", &d.go, 0, 0, NULL },
    { "--go-nodes", 0, OPT_NUMBER, "N", "How many of them. Default 2.", &d.go_nodes, 1, NODES_MAX / 2, NULL },
    { "--no-go", 0, OPT_TEXT, "REASON", "Why there are none; it is printed.", &d.no_go, 0, 0, NULL },
    { "--timeout", 0, OPT_DURATION, "TIME", "Give up when nothing arrives for so long. Default 10s.",
      &d.timeout, 0, 0, NULL },
    { 0 },
  };
  text_list args = { 0 };
  int code = options_read(&c, rows, argc, argv, &args);
  if (code < 0 && args.n) code = usage_error(&c, "%s is no option", quoted(args.v[0]));
  free(args.v);
  if (code >= 0) return code;
  if (!d.go) d.go_nodes = 0;
  if (!d.peer) d.peer = own_peer();
  signal(SIGPIPE, SIG_IGN);
  bool good = run(&d);
  fflush(stdout);
  clean(&d);
  return good ? EXIT_OK : EXIT_FAILED;
}
