#include "cli/remote.h"
#include "cli/hold.h"
#include "cli/loop.h"
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FRAME_MAX (64u << 20) /* of an answer: a snapshot of a large node */
#define ANSWER_NS UINT64_C(60000000000)

json_t *remote_request(const char *op) {
  json_t *q = json_object();
  json_object_set_new(q, "op", json_string(op));
  return q;
}

static int lost(const remote *r, const char *why) {
  say_error(r->program, "--socket %s: %s", quoted(r->path), why);
  return EXIT_FAILED;
}

static bool put_all(remote *r, const void *bytes, size_t n) {
  const uint8_t *p = bytes;
  while (n) {
    ssize_t sent = send(r->fd, p, n, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return false;
    p += sent;
    n -= (size_t)sent;
  }
  return true;
}

/* A whole frame stands in front: its length, else SIZE_MAX. */
static size_t frame_of(const remote *r) {
  if (r->n < 4) return SIZE_MAX;
  size_t n = (size_t)r->in[0] << 24 | (size_t)r->in[1] << 16 | (size_t)r->in[2] << 8 | r->in[3];
  return r->n - 4 >= n || n > FRAME_MAX ? n : SIZE_MAX;
}

/* -1 and *out (NULL: none before `until`), or an exit code. */
static int next_frame(remote *r, uint64_t until, json_t **out) {
  size_t n;
  *out = NULL;
  while ((n = frame_of(r)) == SIZE_MAX) {
    struct pollfd fds[2] = { { .fd = r->fd, .events = POLLIN }, { .fd = r->stop_fd, .events = POLLIN } };
    wait_fds(fds, 2, until);
    if (fds[1].revents) {
      r->stopped = true;
      return EXIT_FAILED;
    }
    if (!fds[0].revents) {
      if (mono_ns() >= until) return -1;
      continue;
    }
    if (r->cap - r->n < 65536) {
      r->cap = r->cap * 2 + 65536;
      r->in = grow(r->in, r->cap, 1);
    }
    ssize_t got = read(r->fd, r->in + r->n, r->cap - r->n);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return lost(r, got < 0 ? strerror(errno) : "the node closed the connection: it ended, or has 32 clients");
    r->n += (size_t)got;
  }
  if (n > FRAME_MAX) return lost(r, "a frame is longer than any that is expected; is a node of meshsub behind it?");
  json_error_t error;
  *out = json_loadb((const char *)r->in + 4, n, 0, &error);
  memmove(r->in, r->in + 4 + n, r->n - 4 - n);
  r->n -= 4 + n;
  if (json_is_object(*out)) return -1;
  json_decref(*out);
  *out = NULL;
  return lost(r, "what comes is no JSON; is a node of meshsub behind it?");
}

int remote_open(remote *r, const command *c, const char *path) {
  *r = (remote){ .program = c->program, .path = path ? path : getenv("MESHSUB_SOCKET"), .fd = -1, .stop_fd = -1 };
  if (!r->path || !*r->path) return usage_error(c, "--socket PATH is missing: the one that \"meshsub node --socket PATH\" serves");
  int code = hold_connect(r->program, r->path, &r->fd);
  if (code >= 0) return code;
  code = next_frame(r, mono_ns() + ANSWER_NS, &r->greeting);
  if (code >= 0) return code;
  if (!r->greeting) return lost(r, "the node does not answer");
  json_t *q = remote_request("hello"), *reply;
  json_object_set_new(q, "version", json_integer(1));
  code = remote_ask(r, q, "", NULL, &reply);
  if (code < 0) json_decref(reply);
  return code;
}

void remote_close(remote *r) {
  if (r->fd >= 0) close(r->fd);
  json_decref(r->greeting);
  if (r->in) explicit_bzero(r->in, r->cap);
  free(r->in);
  *r = (remote){ .fd = -1, .stop_fd = -1 };
}

static void told(remote *r, json_t *j) {
  if (r->event) r->event(r->ud, j);
  json_decref(j);
}

int remote_ask(remote *r, json_t *q, const char *what, const char *quiet_code, json_t **reply) {
  uint64_t id = ++r->id, until = mono_ns() + (r->answer_ns ? r->answer_ns : ANSWER_NS);
  *reply = NULL;
  json_object_set_new(q, "id", json_integer((json_int_t)id));
  char *text = json_dumps(q, JSON_COMPACT);
  size_t n = text ? strlen(text) : 0;
  json_decref(q);
  const uint8_t head[4] = { (uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n };
  bool sent = text && put_all(r, head, sizeof head) && put_all(r, text, n);
  if (text) explicit_bzero(text, n); /* it may have been a key */
  free(text);
  if (!sent) return lost(r, "the node closed the connection");
  for (;;) {
    json_t *j;
    int code = next_frame(r, until, &j);
    if (code >= 0) return code;
    if (!j) return lost(r, "the node does not answer");
    if ((uint64_t)json_integer_value(json_object_get(j, "id")) != id) {
      told(r, j);
      continue;
    }
    *reply = j;
    if (json_is_true(json_object_get(j, "ok"))) return -1;
    const char *error = json_string_value(json_object_get(j, "error")), *kind = json_string_value(json_object_get(j, "code"));
    if (!quiet_code || !kind || strcmp(kind, quiet_code) != 0)
      say_error(r->program, "%s%s%s", what, *what ? ": " : "", error ? error : "the node refused");
    return EXIT_FAILED;
  }
}

int remote_wait(remote *r, uint64_t until) {
  json_t *j;
  int code = next_frame(r, until, &j);
  if (code < 0 && j) told(r, j);
  return code;
}
