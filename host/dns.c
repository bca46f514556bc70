#define _GNU_SOURCE /* getaddrinfo; SOCK_CLOEXEC */
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/list.h"
#include "base/mem.h"
#include "host/dns.h"

#define NAME_MAX_BYTES 253u
#define RESOLV_CONF 8192u

typedef struct job {
  msub__node in_list;
  msub__dns_kind kind;
  char name[NAME_MAX_BYTES + 1];
  uint64_t deadline;
  msub__dns_done done;
  void *own;
  msub__dns_answer answer;
} job;

/* Shared with threads that may live on: everything is malloc's, and the last one frees it. */
struct msub__dns {
  pthread_mutex_t lock;
  pthread_cond_t work, left;
  msub__node queued, done;
  unsigned n_threads, n_idle, n_system; /* system: inside getaddrinfo */
  unsigned n_queued;
  bool stop;
  int abort_fd[2]; /* the writing end is closed when all is over */
  bool has_server;
  msub__dns_servers servers;
  void (*wake)(void *ud);
  void *wake_ud;
};

/* ---- on the threads ---- */

static void by_system(job *j) {
  struct addrinfo *all = NULL, hints = { .ai_socktype = SOCK_STREAM,
                                         .ai_family = j->kind == MSUB__DNS_IP4   ? AF_INET
                                                      : j->kind == MSUB__DNS_IP6 ? AF_INET6
                                                                                 : AF_UNSPEC };
  msub__dns_answer *a = &j->answer;
  int rv = getaddrinfo(j->name, NULL, &hints, &all);
  for (const struct addrinfo *i = rv == 0 ? all : NULL; i && a->n < MSUB__HOST_DNS_ANSWERS; i = i->ai_next) {
    msub__tr_addr ip = { .n = i->ai_family == AF_INET ? 4 : i->ai_family == AF_INET6 ? 16 : 0 };
    struct sockaddr_in in4;
    struct sockaddr_in6 in6;
    if (ip.n == 4) memcpy(&in4, i->ai_addr, sizeof in4), memcpy(ip.ip, &in4.sin_addr, 4);
    if (ip.n == 16) memcpy(&in6, i->ai_addr, sizeof in6), memcpy(ip.ip, &in6.sin6_addr, 16);
    if (ip.n) a->ips[a->n++] = ip;
  }
  if (rv == 0) freeaddrinfo(all);
  a->err = a->n ? MSUB_OK : rv == EAI_AGAIN ? MSUB_ERR_TIMEOUT : rv == 0 || rv == EAI_NONAME || rv == EAI_NODATA ? MSUB_ERR_NOTFOUND : MSUB_ERR_IO;
  a->text = a->n ? NULL : rv == EAI_AGAIN ? "no name server answers" : a->err == MSUB_ERR_NOTFOUND ? "no such name" : "names cannot be looked up";
}

static void read_resolv_conf(msub__dns_servers *out) {
  char text[RESOLV_CONF + 1];
  ssize_t n = 0;
  int fd = open("/etc/resolv.conf", O_RDONLY | O_CLOEXEC);
  if (fd >= 0) n = read(fd, text, RESOLV_CONF);
  if (fd >= 0) (void)close(fd);
  text[n > 0 ? n : 0] = 0;
  msub__dns_servers_read(text, out);
}

static void by_servers(const msub__dns *d, job *j) {
  msub__dns_servers system;
  if (!d->has_server) read_resolv_conf(&system);
  msub__dns_query(d->has_server ? &d->servers : &system, j->kind, msub_str(j->name), j->deadline, d->abort_fd[0], &j->answer);
}

static void release(msub__dns *d) { /* the last thread, or the loop without threads */
  for (msub__node *n; (n = msub__list_first(&d->queued)) || (n = msub__list_first(&d->done));) {
    msub__list_remove(n);
    free(MSUB__OF(n, job, in_list));
  }
  (void)close(d->abort_fd[0]);
  if (d->abort_fd[1] >= 0) (void)close(d->abort_fd[1]);
  (void)pthread_mutex_destroy(&d->lock);
  (void)pthread_cond_destroy(&d->work);
  (void)pthread_cond_destroy(&d->left);
  free(d);
}

static void *thread(void *arg) {
  msub__dns *d = arg;
  (void)pthread_mutex_lock(&d->lock);
  for (;;) {
    while (!d->stop && msub__list_empty(&d->queued)) {
      d->n_idle++;
      (void)pthread_cond_wait(&d->work, &d->lock);
      d->n_idle--;
    }
    if (d->stop) break;
    job *j = MSUB__OF(msub__list_first(&d->queued), job, in_list);
    msub__list_remove(&j->in_list);
    d->n_queued--;
    bool system = !d->has_server && j->kind != MSUB__DNS_TEXTS;
    d->n_system += system;
    (void)pthread_mutex_unlock(&d->lock);
    if (system) by_system(j);
    else by_servers(d, j);
    (void)pthread_mutex_lock(&d->lock);
    d->n_system -= system;
    msub__list_push(&d->done, &j->in_list);
    if (!d->stop) d->wake(d->wake_ud);
  }
  /* The loop waits for those that can be interrupted; of the others the last one tidies up. */
  bool last = --d->n_threads == 0 && d->wake == NULL;
  (void)pthread_cond_signal(&d->left);
  (void)pthread_mutex_unlock(&d->lock);
  if (last) release(d);
  return NULL;
}

/* ---- on the loop ---- */

int msub__dns_new(const char *server, void (*wake)(void *ud), void *wake_ud, msub__dns **out) {
  msub__dns *d = calloc(1, sizeof *d);
  if (!d) return MSUB_ERR_NOMEM;
  d->wake = wake;
  d->wake_ud = wake_ud;
  d->has_server = server != NULL;
  d->servers.n = 1;
  if (server && !msub__dns_server_parse(server, &d->servers.at[0])) {
    free(d);
    return MSUB_ERR_INVAL;
  }
  if (pipe(d->abort_fd) != 0) {
    free(d);
    return MSUB_ERR_IO;
  }
  (void)fcntl(d->abort_fd[0], F_SETFD, FD_CLOEXEC);
  (void)fcntl(d->abort_fd[1], F_SETFD, FD_CLOEXEC);
  (void)pthread_mutex_init(&d->lock, NULL);
  (void)pthread_cond_init(&d->work, NULL);
  (void)pthread_cond_init(&d->left, NULL);
  msub__list_init(&d->queued);
  msub__list_init(&d->done);
  *out = d;
  return MSUB_OK;
}

void msub__dns_free(msub__dns *d) {
  if (!d) return;
  (void)pthread_mutex_lock(&d->lock);
  d->stop = true;
  (void)close(d->abort_fd[1]); /* readable for all from here on */
  d->abort_fd[1] = -1;
  (void)pthread_cond_broadcast(&d->work);
  while (d->n_threads > d->n_system) (void)pthread_cond_wait(&d->left, &d->lock);
  bool last = d->n_threads == 0;
  d->wake = NULL;
  (void)pthread_mutex_unlock(&d->lock);
  if (last) release(d);
}

/* Signals are the program's business. */
static bool start_thread(msub__dns *d) {
  sigset_t all, before;
  pthread_t t;
  (void)sigfillset(&all);
  if (pthread_sigmask(SIG_SETMASK, &all, &before) != 0) return false;
  bool ok = pthread_create(&t, NULL, thread, d) == 0;
  if (ok) (void)pthread_detach(t);
  (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
  return ok;
}

int msub__dns_look_up(msub__dns *d, msub__dns_kind kind, msub_bytes name, uint64_t deadline, msub__dns_done done, void *own) {
  if (name.n > NAME_MAX_BYTES) return MSUB_ERR_LIMIT;
  job *j = calloc(1, sizeof *j);
  if (!j) return MSUB_ERR_NOMEM;
  j->kind = kind;
  if (name.n > 0) memcpy(j->name, name.p, name.n);
  j->deadline = deadline;
  j->done = done;
  j->own = own;
  msub__list_init(&j->in_list);
  (void)pthread_mutex_lock(&d->lock);
  bool more = d->n_idle <= d->n_queued && d->n_threads < MSUB__HOST_DNS_THREADS;
  if (more && start_thread(d)) d->n_threads++;
  bool ok = d->n_threads > 0;
  if (ok) {
    msub__list_push(&d->queued, &j->in_list);
    d->n_queued++;
    (void)pthread_cond_signal(&d->work);
  }
  (void)pthread_mutex_unlock(&d->lock);
  if (!ok) free(j);
  return ok ? MSUB_OK : MSUB_ERR_IO;
}

void msub__dns_step(msub__dns *d) {
  if (!d) return;
  for (;;) {
    (void)pthread_mutex_lock(&d->lock);
    msub__node *n = msub__list_first(&d->done);
    if (n) msub__list_remove(n);
    (void)pthread_mutex_unlock(&d->lock);
    if (!n) return;
    job *j = MSUB__OF(n, job, in_list);
    j->done(j->own, &j->answer);
    free(j);
  }
}
