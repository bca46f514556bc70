#define _DEFAULT_SOURCE /* EDQUOT */
#include "store/folder.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "meshsub/store_disk.h"

#define PATH (MSUB__FOLDER_PATH + 64u)
#define SAY(...) (void)snprintf(why, MSUB_STORE_WHY, __VA_ARGS__)

static const char version_text[] = "meshsub store ";

static void path_of(const msub__folder *f, const char *name, char out[PATH]) { (void)snprintf(out, PATH, "%s/%s", f->dir, name); }

/* What went wrong with a file, and what to do about it. */
static int failed(const msub__folder *f, const char *name, int negative, char *why) {
  char path[PATH];
  path_of(f, name, path);
  if (!*name) path[strlen(path) - 1] = '\0';
  const char *next = "";
  switch (-negative) {
  case ENOSPC:
  case EDQUOT: next = ": make room and start again; what was stored is intact"; break;
  case EROFS: next = ": it can only be opened to be read"; break;
  case EACCES:
  case EPERM: next = ": it has to belong to the user who runs this"; break;
  case ENOENT: next = ": make the folder above it first"; break;
  case ENOTDIR: next = ": name a folder"; break;
  default: break;
  }
  SAY("%s: %s%s", path, strerror(-negative), next);
  return msub__os_err(negative);
}

/* ---- what is there ---- */

typedef struct contents {
  bool version, version_new, data;
  char other[64];
} contents;

static bool see(void *ud, const char *name) {
  contents *c = ud;
  if (strcmp(name, "version") == 0) c->version = true;
  else if (strcmp(name, "version.new") == 0) c->version_new = true;
  else if (strcmp(name, "data.mdb") == 0) c->data = true;
  else if (strcmp(name, "lock") != 0 && strcmp(name, "lock.mdb") != 0 && strcmp(name, "log") != 0 && !*c->other)
    (void)snprintf(c->other, sizeof c->other, "%s", name);
  return true;
}

static int check_contents(const msub__folder *f, bool must_exist, contents *c, char *why) {
  *c = (contents){ .version = false };
  int err = f->os->list(f->os->ud, f->dir, see, c);
  if (err == -ENOENT && must_exist) {
    SAY("%s: no store: there is no such folder", f->dir);
    return MSUB_ERR_NOTFOUND;
  }
  if (err < 0) return failed(f, "", err, why);
  if (c->version) return MSUB_OK;
  if (must_exist) {
    SAY("%s: no store: it has no file \"version\"", f->dir);
    return MSUB_ERR_NOTFOUND;
  }
  if (*c->other) {
    SAY("%s: no store, and not empty: it has \"%s\"; name a folder that is empty or not there yet", f->dir, c->other);
    return MSUB_ERR_MALFORMED;
  }
  if (c->data && !c->version_new) {
    SAY("%s: its file \"version\" is missing; put it back from a copy, or name another folder", f->dir);
    return MSUB_ERR_MALFORMED;
  }
  return MSUB_OK;
}

/* ---- the lock ---- */

static int64_t read_pid(const msub__folder *f) {
  char text[24] = "";
  int64_t n = f->os->read(f->os->ud, f->fd, text, sizeof text - 1, 0);
  return n > 0 ? strtoll(text, NULL, 10) : 0;
}

static int take_lock(msub__folder *f, char *why) {
  char path[PATH];
  path_of(f, "lock", path);
  f->fd = f->os->open(f->os->ud, path, f->read_only ? MSUB__OS_READ : MSUB__OS_CREATE);
  if (f->fd < 0 && f->read_only && (f->fd == -ENOENT || f->fd == -EACCES)) { /* then nobody who writes can have it either, or it is not ours to know */
    f->fd = -1;
    return MSUB_OK;
  }
  if (f->fd < 0) return failed(f, "lock", f->fd, why);
  int err = f->os->lock(f->os->ud, f->fd, f->read_only);
  if (err == -EWOULDBLOCK) {
    int64_t pid = read_pid(f);
    if (f->os->alive(f->os->ud, pid))
      SAY("%s: process %" PRId64 " has it open; end that one first, or name another folder", f->dir, pid);
    else
      SAY("%s: another process has it open; end that one first, or name another folder", f->dir);
    return MSUB_ERR_CLAIMED;
  }
  return err < 0 ? failed(f, "lock", err, why) : MSUB_OK;
}

static int sign_lock(msub__folder *f, char *why) {
  char text[24];
  if (f->read_only || f->fd < 0) return MSUB_OK;
  int64_t size = f->os->size(f->os->ud, f->fd);
  if (size < 0) return failed(f, "lock", (int)size, why);
  f->unclean = size > 0;
  f->mine = true;
  int n = snprintf(text, sizeof text, "%" PRId64 "\n", f->os->pid(f->os->ud));
  int err = msub__os_write_all(f->os, f->fd, text, (size_t)n, 0);
  if (err == 0) err = f->os->truncate(f->os->ud, f->fd, (uint64_t)n);
  if (err >= 0) err = f->os->sync(f->os->ud, f->fd);
  return err < 0 ? failed(f, "lock", err, why) : MSUB_OK;
}

/* ---- the version ---- */

static int check_version(const msub__folder *f, char *why) {
  char path[PATH], text[64] = "";
  path_of(f, "version", path);
  int fd = f->os->open(f->os->ud, path, MSUB__OS_READ);
  if (fd < 0) return failed(f, "version", fd, why);
  int64_t n = f->os->read(f->os->ud, fd, text, sizeof text - 1, 0);
  (void)f->os->close(f->os->ud, fd);
  if (n < 0) return failed(f, "version", (int)n, why);
  char *end = NULL;
  unsigned long version = 0;
  bool ours = strncmp(text, version_text, sizeof version_text - 1) == 0;
  if (ours) version = strtoul(text + sizeof version_text - 1, &end, 10);
  if (!ours || *end != '\n') {
    SAY("%s: not a version of a meshsub store; name another folder", path);
    return MSUB_ERR_MALFORMED;
  }
  if (version == MSUB_STORE_DISK_VERSION) return MSUB_OK;
  SAY("%s: a store of version %lu, and this program knows version %u; use the release that wrote it", f->dir, version, MSUB_STORE_DISK_VERSION);
  return MSUB_ERR_UNSUPPORTED;
}

static int remove_if_there(const msub__folder *f, const char *name) {
  char path[PATH];
  path_of(f, name, path);
  int err = f->os->remove(f->os->ud, path);
  return err == -ENOENT ? 0 : err;
}

/* Says that it is being made; what a making that was not finished has left goes. */
static int begin_making(msub__folder *f, char *why) {
  char path[PATH], text[32];
  path_of(f, "version.new", path);
  int n = snprintf(text, sizeof text, "%s%u\n", version_text, MSUB_STORE_DISK_VERSION);
  int fd = f->os->open(f->os->ud, path, MSUB__OS_CREATE);
  int err = fd < 0 ? fd : msub__os_write_all(f->os, fd, text, (size_t)n, 0);
  if (err == 0) err = f->os->truncate(f->os->ud, fd, (uint64_t)n);
  if (err >= 0) err = f->os->sync(f->os->ud, fd);
  if (fd >= 0) (void)f->os->close(f->os->ud, fd);
  if (err >= 0) err = f->os->sync_dir(f->os->ud, f->dir);
  if (err < 0) return failed(f, "version.new", err, why);
  err = remove_if_there(f, "data.mdb");
  if (err >= 0) err = remove_if_there(f, "lock.mdb");
  if (err < 0) return failed(f, "data.mdb", err, why);
  path_of(f, "log", path);
  err = f->os->make_dir(f->os->ud, path);
  if (err < 0 && err != -EEXIST) return failed(f, "log", err, why);
  f->making = true;
  return MSUB_OK;
}

int msub__folder_made(msub__folder *f, char *why) {
  char from[PATH], to[PATH], above[PATH];
  if (!f->making) return MSUB_OK;
  path_of(f, "version.new", from);
  path_of(f, "version", to);
  (void)snprintf(above, sizeof above, "%s/..", f->dir);
  int err = f->os->sync_dir(f->os->ud, f->dir);
  if (err >= 0) err = f->os->rename(f->os->ud, from, to);
  if (err >= 0) err = f->os->sync_dir(f->os->ud, f->dir);
  if (err >= 0) err = f->os->sync_dir(f->os->ud, above);
  if (err == -EACCES) err = 0; /* the folder above is not ours to open */
  if (err < 0) return failed(f, "version", err, why);
  f->making = false;
  return MSUB_OK;
}

/* ---- opening ---- */

static int open_it(msub__folder *f, bool must_exist, char *why) {
  contents c;
  int err;
  if (f->read_only) must_exist = true;
  if (!must_exist) {
    err = f->os->make_dir(f->os->ud, f->dir);
    if (err < 0 && err != -EEXIST) return failed(f, "", err, why);
  }
  err = check_contents(f, must_exist, &c, why);
  if (err == MSUB_OK) err = take_lock(f, why);
  if (err == MSUB_OK) err = check_contents(f, must_exist, &c, why); /* nobody else changes it now */
  if (err == MSUB_OK && c.version) err = check_version(f, why);
  if (err == MSUB_OK) err = sign_lock(f, why);
  if (err == MSUB_OK && !c.version) err = begin_making(f, why);
  if (err == MSUB_OK && !f->read_only) {
    int r = remove_if_there(f, "data.mdb.new"); /* of a compaction that was killed */
    if (r < 0) err = failed(f, "data.mdb.new", r, why);
  }
  return err;
}

int msub__folder_open(msub__folder *f, const msub__os *os, const char *dir, bool must_exist, bool read_only, char *why) {
  *f = (msub__folder){ .os = os, .dir = dir, .fd = -1, .read_only = read_only };
  int err = open_it(f, must_exist, why);
  if (err != MSUB_OK) msub__folder_close(f, !f->unclean);
  return err;
}

void msub__folder_close(msub__folder *f, bool clean) {
  if (f->fd < 0) return;
  if (clean && f->mine) (void)f->os->truncate(f->os->ud, f->fd, 0);
  (void)f->os->close(f->os->ud, f->fd);
  f->fd = -1;
}
