/* meshsub pub: publishes one message, or every line of stdin. */
#include "cli/commands.h"
#include "cli/node.h"
#include "cli/remote.h"
#include <errno.h>
#include <inttypes.h>
#include <meshsub/publish.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_BYTES (1u << 20)
#define QUEUED_MAX                                                                                           \
  (1u << 20) /* bytes for one peer; above it stdin waits. A quarter of the lane: it never overflows */
#define BATCH 64
#define PING_ID "/ipfs/ping/1.0.0"

typedef struct pub {
  uint64_t wait, timeout;
  const char *text, *socket_path; /* text NULL: lines of stdin */
  lines in;
  uint64_t batch_max; /* lines that go out together; 0: each by itself */
  msub_batch *batch;
  size_t batch_bytes;
  uint64_t published, number; /* messages; lines seen */
  uint32_t recipients, least; /* of the last one; of the one with the fewest */
  size_t pings, unanswered;   /* under way; that failed */
} pub;

static void result(node *n, int err, uint32_t recipients) {
  pub *p = n->ud;
  if (err == MSUB_OK) p->recipients = recipients;
}

static void happened(node *n, const msub_host_event *ev) {
  if (ev->kind == MSUB_EV_DIAL_FAILED) node_dial_failed(n, ev, NULL);
}

/* -1: go on. */
static int interrupted(const node *n, const struct pollfd *stop) {
  if (!stop->revents) return -1;
  say_error(n->cmd->program, "stopped by a signal");
  return EXIT_FAILED;
}

static int await_peers(node *n, pub *p) {
  struct pollfd fds[2] = { { 0 }, { .fd = n->stop_fd, .events = POLLIN } };
  uint64_t deadline = mono_ns() + p->timeout;
  while (!msub_ready(msub_host_engine(n->host), n->topics[0], (uint32_t)p->wait)) {
    if (n->dials && n->dials_failed == n->dials && !n->listen.n) return EXIT_FAILED; /* each was said */
    if (mono_ns() >= deadline) {
      say_error(n->cmd->program,
                "%zu of %" PRIu64
                " subscribers of %s within %s (%zu peers connected); start them, or raise --timeout",
                node_topic_peers(n, 0), p->wait, quoted(n->names[0]), duration_text(p->timeout),
                node_peer_count(n));
      return EXIT_LATE;
    }
    wait_and_turn(n->host, fds, 2, deadline);
    int code = interrupted(n, &fds[1]);
    if (code >= 0) return code;
  }
  return -1;
}

static int refused(const node *n, uint64_t number, size_t bytes, int err) {
  say_error(n->cmd->program, "message %" PRIu64 " (%zu bytes) cannot be published: %s", number, bytes,
            err == MSUB_ERR_LIMIT ? "too large; a message with its envelope takes at most 1 MiB" : msub_err_text(err));
  return EXIT_FAILED;
}

static void went(pub *p, uint32_t recipients) {
  if (!p->published || recipients < p->least) p->least = recipients;
  p->published++;
}

/* -1: published. */
static int publish(node *n, pub *p, msub_bytes data) {
  p->recipients = 0;
  int err = msub_publish(msub_host_engine(n->host), n->topics[0], data, msub_host_now(n->host), NULL);
  if (err != MSUB_OK) return refused(n, p->number, data.n, err);
  went(p, p->recipients);
  return -1;
}

/* ---- lines that go out together ---- */

static int batch_publish(node *n, pub *p) {
  if (!p->batch) return -1;
  int err = msub_batch_publish(p->batch, NULL, NULL, msub_host_now(n->host)), code = -1;
  size_t count = msub_batch_count(p->batch);
  uint64_t first = p->number - count + 1;
  if (err != MSUB_OK) {
    say_error(n->cmd->program, "messages %" PRIu64 " to %" PRIu64 " cannot be published together: %s", first, p->number, msub_err_text(err));
    code = EXIT_FAILED;
  }
  for (size_t i = 0; i < count && code < 0; i++) {
    const msub_published *out = msub_batch_result(p->batch, i);
    if (out->err == MSUB_OK) went(p, out->recipients);
    else code = refused(n, first + i, 0, out->err);
  }
  (void)msub_batch_free(p->batch);
  p->batch = NULL;
  p->batch_bytes = 0;
  return code;
}

static int batch_add(node *n, pub *p, msub_bytes data) {
  int err = p->batch ? MSUB_OK : msub_batch_new(msub_host_engine(n->host), &p->batch);
  if (err == MSUB_OK) err = msub_batch_add(p->batch, n->topics[0], data, NULL);
  if (err != MSUB_OK) return refused(n, p->number, data.n, err);
  p->batch_bytes += data.n;
  return msub_batch_count(p->batch) == p->batch_max || p->batch_bytes > QUEUED_MAX ? batch_publish(n, p) : -1;
}

static bool stdin_has_more(const pub *p) {
  struct pollfd in = { .fd = STDIN_FILENO, .events = POLLIN };
  return !p->in.end && poll(&in, 1, 0) > 0;
}

/* Reads only what the peers take: above QUEUED_MAX stdin is left alone. */
static int publish_lines(node *n, pub *p) {
  struct pollfd fds[3] = { { 0 },
                           { .fd = n->stop_fd, .events = POLLIN },
                           { .fd = STDIN_FILENO, .events = POLLIN } };
  for (;;) {
    msub_bytes line;
    bool room = node_queued(n) < QUEUED_MAX, any = false;
    for (int i = 0; room && i < BATCH && lines_next(&p->in, &line); i++) {
      any = true;
      p->number++;
      int code = p->batch_max ? batch_add(n, p, line) : publish(n, p, line);
      if (code >= 0) return code;
      if (line.n > QUEUED_MAX / BATCH) room = node_queued(n) < QUEUED_MAX;
    }
    if (p->in.too_long) {
      say_error(n->cmd->program, "line %" PRIu64 " is longer than %u bytes, the most that a message may have",
                p->number + 1, LINE_MAX_BYTES);
      return EXIT_FAILED;
    }
    if (room && !any && p->batch && !stdin_has_more(p)) {
      int code = batch_publish(n, p); /* nobody knows when the rest comes */
      if (code >= 0) return code;
      continue;
    }
    if (room && !any && p->in.end) return -1;
    /* Once the lines in hand are out, sleep until stdin has more; otherwise until the peers have taken
     * something. */
    fds[2].fd = room && !any ? STDIN_FILENO : -1;
    wait_and_turn(n->host, fds, 3, any && room ? 0 : MSUB_NEVER);
    int code = interrupted(n, &fds[1]);
    if (code >= 0) return code;
    if (fds[2].fd >= 0 && fds[2].revents && !lines_fill(&p->in)) {
      say_error(n->cmd->program, "standard input cannot be read: %s", strerror(errno));
      return EXIT_FAILED;
    }
  }
}

static void ponged(void *ud, uint64_t rtt) {
  pub *p = ud;
  p->pings--;
  if (rtt == MSUB_NEVER) p->unanswered++;
}

static bool answers_pings(const msub_host_peer *peer) {
  size_t i = 0;
  while (i < peer->n_protocols && strcmp(peer->protocols[i], PING_ID) != 0) i++;
  return i < peer->n_protocols;
}

/* A ping travels behind everything else on its connection. */
static void ping_all(node *n, pub *p) {
  msub_host_peer peer;
  p->unanswered = 0;
  for (size_t i = 0; msub_host_peer_at(n->host, i, &peer) == MSUB_OK; i++)
    if (answers_pings(&peer) && msub_host_ping(n->host, peer.peer_id, ponged, p) == MSUB_OK) p->pings++;
}

/* Until the transport has taken everything, and the peers have it: what a peer's system holds is lost when it
 * notices that we are gone before it looks there. */
static int drain(node *n, pub *p) {
  struct pollfd fds[2] = { { 0 }, { .fd = n->stop_fd, .events = POLLIN } };
  uint64_t deadline = mono_ns() + p->timeout;
  bool asked = false;
  for (;;) {
    wait_and_turn(n->host, fds, 2, node_queued(n) || p->pings ? deadline : 0);
    size_t left = node_queued(n);
    if (left == 0 && p->pings == 0) {
      if (asked && p->unanswered == 0) return -1;
      ping_all(n, p);
      asked = true;
      if (p->pings == 0) return -1;
    }
    int code = interrupted(n, &fds[1]);
    if (code >= 0) return code;
    if (mono_ns() < deadline) continue;
    if (left)
      say_error(n->cmd->program,
                "a peer did not take the last %zu bytes within %s; it is too slow, or raise --timeout", left,
                duration_text(p->timeout));
    else
      say_error(n->cmd->program,
                "a peer did not read the last bytes within %s; it is too slow, or raise --timeout",
                duration_text(p->timeout));
    return EXIT_LATE;
  }
}

static int report(const node *n, const pub *p, const char *topic) {
  if (n->json) {
    json_t *j = json_object();
    json_object_set_new(j, "topic", json_string(topic));
    json_object_set_new(j, "published", json_integer((json_int_t)p->published));
    json_object_set_new(j, "recipients", json_integer(p->least));
    put_json(stdout, j);
  } else {
    printf("published %" PRIu64 " message%s to %" PRIu32 " peer%s\n", p->published,
           p->published == 1 ? "" : "s", p->least, p->least == 1 ? "" : "s");
  }
  if (!flush_out(n->cmd->program, stdout)) return EXIT_FAILED;
  if (p->published && p->wait && !p->least) {
    say_error(n->cmd->program, "a message found no peer: the subscribers went away");
    return EXIT_FAILED;
  }
  return EXIT_OK;
}

static int open_and_run(node *n, pub *p, const char *topic) {
  int code = node_open(n, &(text_list){ .v = &topic, .n = 1 }, true);
  if (code < 0) {
    if (n->listen.n) node_say_listening(n);
    code = node_connect(n, false);
  }
  if (code < 0 && p->wait) code = await_peers(n, p);
  if (code < 0 && p->text) {
    p->number = 1;
    code = publish(n, p, msub_str(p->text));
  } else if (code < 0) {
    lines_init(&p->in, STDIN_FILENO, LINE_MAX_BYTES);
    code = publish_lines(n, p);
    lines_free(&p->in);
  }
  if (code < 0) code = drain(n, p);
  return code < 0 ? report(n, p, topic) : code;
}

/* ---- through a running node ---- */

static int publish_there(const node *n, pub *p, remote *r, const char *topic, msub_bytes data) {
  uint64_t until = mono_ns() + p->timeout;
  for (;;) {
    json_t *q = remote_request("publish"), *reply;
    set_name(q, "topic", msub_str(topic));
    set_data(q, data);
    if (p->wait && !p->published) json_object_set_new(q, "wait", json_integer((json_int_t)p->wait));
    int code = remote_ask(r, q, "", "late", &reply);
    const char *kind = json_string_value(json_object_get(reply, "code"));
    bool late = kind && strcmp(kind, "late") == 0;
    uint32_t recipients = (uint32_t)json_integer_value(json_object_get(reply, "recipients"));
    json_decref(reply);
    if (code < 0) {
      if (!p->published || recipients < p->least) p->least = recipients;
      p->published++;
      return -1;
    }
    if (r->stopped) return interrupted(n, &(struct pollfd){ .revents = POLLIN });
    if (!late) return code;
    uint64_t again = mono_ns() + 50000000;
    if (again >= until) {
      say_error(n->cmd->program, "fewer than %" PRIu64 " subscribers of %s within %s; start them, or raise --timeout", p->wait, quoted(topic),
                duration_text(p->timeout));
      return EXIT_LATE;
    }
    for (code = -1; code < 0 && mono_ns() < again;) code = remote_wait(r, again);
    if (code >= 0) return code;
  }
}

static int publish_through(const node *n, pub *p, const char *topic) {
  remote r;
  msub_bytes line;
  int code = remote_open(&r, n->cmd, p->socket_path);
  if (code < 0 && (r.stop_fd = stop_signals(true)) < 0) code = EXIT_FAILED;
  if (code < 0 && p->text) code = publish_there(n, p, &r, topic, msub_str(p->text));
  lines_init(&p->in, STDIN_FILENO, LINE_MAX_BYTES);
  while (code < 0 && !p->text) {
    if (lines_next(&p->in, &line)) {
      p->number++;
      code = publish_there(n, p, &r, topic, line);
      continue;
    }
    if (p->in.too_long) {
      say_error(n->cmd->program, "line %" PRIu64 " is longer than %u bytes, the most that a message may have", p->number + 1, LINE_MAX_BYTES);
      code = EXIT_FAILED;
    } else if (p->in.end) {
      break;
    } else {
      struct pollfd fds[2] = { { .fd = r.stop_fd, .events = POLLIN }, { .fd = STDIN_FILENO, .events = POLLIN } };
      wait_fds(fds, 2, MSUB_NEVER);
      code = interrupted(n, &fds[0]);
      if (code < 0 && !lines_fill(&p->in)) {
        say_error(n->cmd->program, "standard input cannot be read: %s", strerror(errno));
        code = EXIT_FAILED;
      }
    }
  }
  lines_free(&p->in);
  remote_close(&r);
  return code;
}

int cmd_pub(int argc, char **argv) {
  static const command c = {
    "meshsub pub", "TOPIC TEXT | - [options]",
    "Publishes TEXT, or (-) every line of standard input as a message without its newline.\n"
    "Waits for subscribers first, and ends when the peers have received everything.",
    "JSON: {\"topic\",\"published\",\"recipients\"}; recipients: the fewest peers that any message went "
    "to.\n\n"
    "Exit codes: 0 published, 1 failed (no --connect succeeded, a message was refused or found\n"
    "no peer), 2 wrong usage, 3 subscribers did not come, or did not read, within --timeout."
  };
  pub p = { .wait = 1, .timeout = 10000000000 };
  node n = { .cmd = &c, .ud = &p, .on_event = happened, .on_result = result };
  const option_row rows[] = {
    { "--wait", 0, OPT_NUMBER, "N", "Publish when N subscribers are there. Default 1; 0: at once.", &p.wait,
      0, 1000000, NULL },
    { "--timeout", 0, OPT_DURATION, "TIME", "How long to wait for them, and for the last bytes. Default 10s.",
      &p.timeout, 0, 0, NULL },
    { "--batch", 0, OPT_NUMBER, "N",
      "With -: lines that are there together, up to N, go out as one\n"
      "batch: first of each a copy to one peer, then to the next.", &p.batch_max, 1, 4096, NULL },
    { "--socket", 0, OPT_TEXT, "PATH", "Publish through the running node that serves this socket, as\n"
      "that node; then --wait and --timeout are all that counts.", &p.socket_path, 0, 0, NULL },
    NODE_OPTIONS(&n),
    { 0 },
  };
  text_list args = { 0 };
  int code = options_read(&c, rows, argc, argv, &args);
  if (code < 0 && !args.n) code = usage_error(&c, "TOPIC is missing; name the topic to publish on");
  if (code < 0 && args.n == 1)
    code = usage_error(&c, "TEXT is missing; give a text, or - for the lines of stdin");
  if (code < 0 && args.n > 2)
    code = usage_error(&c, "%s is one word too many; put a text with spaces in quotes", quoted(args.v[2]));
  if (code < 0 && p.batch_max && strcmp(args.v[1], "-") != 0)
    code = usage_error(&c, "--batch is for the lines of stdin; write - for TEXT");
  if (code < 0) code = node_check(&n, &(text_list){ .v = args.v, .n = 1 });
  if (code < 0 && p.socket_path && node_has_way(&n))
    code = usage_error(&c, "--socket has the running node publish; --connect, --listen and --direct are that node's");
  if (code < 0 && p.socket_path && p.batch_max) code = usage_error(&c, "--batch is not for --socket: the running node gets one line after the other");
  if (code < 0 && !p.socket_path && !node_has_way(&n))
    code = usage_error(&c, "no way to peers; give --connect ADDR, --listen ADDR or --socket PATH");
  if (code < 0) p.text = strcmp(args.v[1], "-") == 0 ? NULL : args.v[1];
  if (code < 0 && p.socket_path) {
    code = publish_through(&n, &p, args.v[0]);
    if (code < 0) code = report(&n, &p, args.v[0]);
  } else if (code < 0) {
    code = open_and_run(&n, &p, args.v[0]);
  }
  node_close(&n);
  free(args.v);
  return code;
}
