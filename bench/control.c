#include "bench/control.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define REPLY_NS 20000000000 /* dials take the longest */
#define LINE_MAX_BYTES (64u << 20)

static bool failed(control *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool failed(control *c, const char *format, ...) {
  int n = snprintf(c->error, sizeof c->error, "%s: ", c->name);
  va_list args;
  va_start(args, format);
  vsnprintf(c->error + n, sizeof c->error - (size_t)n, format, args);
  va_end(args);
  return false;
}

int64_t json_number(const json_t *object, const char *name) {
  const json_t *v = json_object_get(object, name);
  return json_is_real(v) ? (int64_t)json_real_value(v) : json_integer_value(v);
}

/* ---- the child ---- */

static void run_child(const char *command, int in, int out, pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(127);
  signal(SIGPIPE, SIG_DFL);
  dup2(in, STDIN_FILENO);
  dup2(out, STDOUT_FILENO);
  if (access(command, X_OK) == 0)
    execl(command, command, (char *)NULL);
  else
    execl("/bin/sh", "sh", "-c", command, (char *)NULL);
  fprintf(stderr, "%s: %s\n", command, strerror(errno));
  _exit(127);
}

bool control_spawn(control *c, const char *name, const char *command) {
  int in[2], out[2];
  *c = (control){ .to = -1, .next_id = 1, .from = { .fd = -1 } };
  snprintf(c->name, sizeof c->name, "%s", name);
  if (pipe2(in, O_CLOEXEC) != 0) return failed(c, "no pipe: %s", strerror(errno));
  if (pipe2(out, O_CLOEXEC) != 0) {
    close(in[0]), close(in[1]);
    return failed(c, "no pipe: %s", strerror(errno));
  }
  pid_t parent = getpid();
  fflush(stdout);
  c->pid = fork();
  if (c->pid == 0) run_child(command, in[0], out[1], parent);
  close(in[0]);
  close(out[1]);
  c->to = in[1];
  lines_init(&c->from, out[0], LINE_MAX_BYTES);
  c->events = json_array();
  if (c->pid < 0) {
    c->pid = 0;
    return failed(c, "no process: %s", strerror(errno));
  }
  c->hello = control_event(c, "hello", -1, REPLY_NS);
  if (!c->hello) return false;
  if (json_number(c->hello, "proto") != 1) return failed(c, "speaks another protocol version");
  return true;
}

void control_end(control *c) {
  if (c->pid > 0) {
    json_t *bye = c->hello ? control_request(c, "stop", NULL, 2000000000) : NULL;
    json_decref(bye);
    close(c->to);
    for (int i = 0; i < 200 && waitpid(c->pid, NULL, WNOHANG) == 0; i++) {
      if (i == 199) {
        kill(c->pid, SIGKILL);
        waitpid(c->pid, NULL, 0);
      } else {
        nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
      }
    }
  } else if (c->to >= 0) {
    close(c->to);
  }
  if (c->from.fd >= 0) close(c->from.fd);
  lines_free(&c->from);
  json_decref(c->events);
  json_decref(c->hello);
  *c = (control){ .to = -1, .from = { .fd = -1 } };
}

/* ---- lines ---- */

/* The next object of the child; NULL: late, gone or not JSON. */
static json_t *next_object(control *c, const char *what, uint64_t deadline) {
  msub_bytes line;
  while (!lines_next(&c->from, &line)) {
    if (c->from.end || c->from.too_long) {
      failed(c, "%s: the program ended", what);
      return NULL;
    }
    uint64_t now = mono_ns();
    struct pollfd fd = { .fd = c->from.fd, .events = POLLIN };
    int timeout = now >= deadline ? 0 : (int)((deadline - now) / 1000000 + 1);
    if (poll(&fd, 1, timeout) == 0 && mono_ns() >= deadline) {
      failed(c, "%s: nothing came in time", what);
      return NULL;
    }
    if (fd.revents && !lines_fill(&c->from)) {
      failed(c, "%s: %s", what, strerror(errno));
      return NULL;
    }
  }
  json_error_t where;
  json_t *j = json_loadb((const char *)line.p, line.n, 0, &where);
  if (!j) failed(c, "%s: not JSON: %.200s", what, (const char *)line.p);
  return j;
}

/* Keeps an event, or fails on one that is fatal. Takes the reference. */
static bool keep_event(control *c, json_t *j) {
  const char *kind = json_string_value(json_object_get(j, "ev"));
  if (kind && strcmp(kind, "error") == 0) {
    const char *text = json_string_value(json_object_get(j, "error"));
    failed(c, "error event: %s", text ? text : "");
    json_decref(j);
    return false;
  }
  json_array_append_new(c->events, j);
  return true;
}

static bool send_line(control *c, const char *op, json_t *j) {
  char *text = json_dumps(j, JSON_COMPACT);
  size_t n = text ? strlen(text) : 0, done = 0;
  if (text) text[n++] = '\n'; /* in place of the NUL */
  while (done < n) {
    ssize_t w = write(c->to, text + done, n - done);
    if (w < 0 && errno == EINTR) continue;
    if (w <= 0) break;
    done += (size_t)w;
  }
  free(text);
  return done == n || failed(c, "%s cannot be sent: %s", op, strerror(errno));
}

json_t *control_request(control *c, const char *op, json_t *fields, uint64_t timeout_ns) {
  json_t *q = fields ? fields : json_object(), *reply;
  int64_t id = (int64_t)c->next_id++;
  json_object_set_new(q, "id", json_integer(id));
  json_object_set_new(q, "op", json_string(op));
  bool sent = send_line(c, op, q);
  json_decref(q);
  if (!sent) return NULL;
  uint64_t deadline = mono_ns() + timeout_ns;
  while ((reply = next_object(c, op, deadline))) {
    if (!json_object_get(reply, "re")) {
      if (!keep_event(c, reply)) return NULL;
    } else if (json_number(reply, "id") != id) {
      json_decref(reply); /* of a request that was given up */
    } else if (json_is_true(json_object_get(reply, "ok"))) {
      return reply;
    } else {
      const char *text = json_string_value(json_object_get(reply, "error"));
      failed(c, "%s refused: %s", op, text ? text : "");
      json_decref(reply);
      return NULL;
    }
  }
  return NULL;
}

bool control_do(control *c, const char *op, json_t *fields) {
  json_t *reply = control_request(c, op, fields, REPLY_NS);
  json_decref(reply);
  return reply != NULL;
}

static bool fits(const json_t *j, const char *kind, int64_t seed) {
  const char *is = json_string_value(json_object_get(j, "ev"));
  return is && strcmp(is, kind) == 0 && (seed < 0 || json_number(j, "seed") == seed);
}

json_t *control_event(control *c, const char *kind, int64_t seed, uint64_t timeout_ns) {
  uint64_t deadline = mono_ns() + timeout_ns;
  for (;;) {
    for (size_t i = 0; i < json_array_size(c->events); i++) {
      json_t *j = json_array_get(c->events, i);
      if (!fits(j, kind, seed)) continue;
      json_incref(j);
      json_array_remove(c->events, i);
      return j;
    }
    json_t *j = next_object(c, kind, deadline);
    if (!j || !keep_event(c, j)) return NULL;
  }
}

/* ---- a node's life ---- */

bool control_start(control *c, json_t *cfg) {
  json_t *reply = control_request(c, "start", cfg, REPLY_NS);
  if (!reply) return false;
  const char *peer = json_string_value(json_object_get(reply, "peer"));
  const char *credit = json_string_value(json_object_get(reply, "credit"));
  snprintf(c->peer, sizeof c->peer, "%s", peer ? peer : "");
  snprintf(c->credit, sizeof c->credit, "%s", credit ? credit : "");
  json_decref(reply);
  reply = control_request(c, "addrs", NULL, REPLY_NS);
  if (!reply) return false;
  const char *addr = json_string_value(json_array_get(json_object_get(reply, "addrs"), 0));
  snprintf(c->addr, sizeof c->addr, "%s", addr ? addr : "");
  json_decref(reply);
  return true;
}

bool control_wait_mesh(control *c, const char *topic, unsigned peers, uint64_t timeout_ns) {
  uint64_t deadline = mono_ns() + timeout_ns;
  for (;;) {
    json_t *reply = control_request(c, "mesh", json_pack("{s:s}", "topic", topic), REPLY_NS);
    if (!reply) return false;
    int64_t mesh = json_number(reply, "mesh"), subs = json_number(reply, "subs");
    json_decref(reply);
    if (mesh >= peers && subs >= peers) return true;
    if (mono_ns() >= deadline)
      return failed(c, "%lld of %u subscribed peers (%lld in the mesh) in time", (long long)subs, peers,
                    (long long)mesh);
    nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
  }
}
