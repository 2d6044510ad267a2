/* Stands between a program and its disk (LD_PRELOAD).
 *
 *   DISK_DIR       only files below this folder are touched
 *   SYNC_DELAY_US  every sync takes so much longer, in microseconds
 *   FAIL_KIND      sync, write or open: which calls are counted
 *   FAIL_AT        the call of this number fails, from 1
 *   FAIL_ERRNO     with this error
 *   FAIL_MARK      a file that is made when it has failed
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

static const char *dir, *kind, *mark;
static long delay_us, fail_at, fail_errno;
static atomic_long n_calls;

__attribute__((constructor)) static void read_environment(void) {
    const char *text;
    dir = getenv("DISK_DIR");
    kind = getenv("FAIL_KIND");
    mark = getenv("FAIL_MARK");
    delay_us = (text = getenv("SYNC_DELAY_US")) ? atol(text) : 0;
    fail_at = (text = getenv("FAIL_AT")) ? atol(text) : 0;
    fail_errno = (text = getenv("FAIL_ERRNO")) ? atol(text) : EIO;
}

static void *next(const char *name) { return dlsym(RTLD_NEXT, name); }

static int is_below(const char *path) {
    return dir && path && strncmp(path, dir, strlen(dir)) == 0;
}

static int is_watched(int fd) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof path - 1);
    if (len < 0) return 0;
    path[len] = 0;
    return is_below(path);
}

/* Whether this call is the one to fail. */
static int fails(const char *call) {
    if (!fail_at || !kind || strcmp(kind, call) != 0) return 0;
    if (atomic_fetch_add(&n_calls, 1) + 1 != fail_at) return 0;
    if (mark) {
        int (*real)(const char *, int, ...) = next("open");
        int fd = real(mark, O_CREAT | O_WRONLY, 0644);
        if (fd >= 0) close(fd);
    }
    errno = (int)fail_errno;
    return 1;
}

static int opened(const char *symbol, const char *path, int flags, mode_t mode) {
    if (is_below(path) && fails("open")) return -1;
    int (*real)(const char *, int, ...) = next(symbol);
    return real(path, flags, mode);
}

#define OPEN(symbol)                                   \
    int symbol(const char *path, int flags, ...) {     \
        va_list rest;                                  \
        va_start(rest, flags);                         \
        mode_t mode = va_arg(rest, mode_t);            \
        va_end(rest);                                  \
        return opened(#symbol, path, flags, mode);     \
    }
OPEN(open)
OPEN(open64)

ssize_t write(int fd, const void *data, size_t len) {
    ssize_t (*real)(int, const void *, size_t) = next("write");
    if (fail_at && is_watched(fd) && fails("write")) return -1;
    return real(fd, data, len);
}

static ssize_t placed(const char *symbol, int fd, const void *data, size_t len, off64_t offset) {
    ssize_t (*real)(int, const void *, size_t, off64_t) = next(symbol);
    if (fail_at && is_watched(fd) && fails("write")) return -1;
    return real(fd, data, len, offset);
}

ssize_t pwrite(int fd, const void *data, size_t len, off_t offset) {
    return placed("pwrite", fd, data, len, offset);
}

ssize_t pwrite64(int fd, const void *data, size_t len, off64_t offset) {
    return placed("pwrite64", fd, data, len, offset);
}

static int synced(const char *symbol, int fd) {
    int (*real)(int) = next(symbol);
    if (!is_watched(fd)) return real(fd);
    if (delay_us > 0) {
        struct timespec pause = {delay_us / 1000000, delay_us % 1000000 * 1000};
        nanosleep(&pause, NULL);
    }
    if (fails("sync")) return -1;
    return real(fd);
}

int fsync(int fd) { return synced("fsync", fd); }
int fdatasync(int fd) { return synced("fdatasync", fd); }
