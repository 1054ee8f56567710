/* Makes writing fail, or kills the process, at a chosen call. Preloaded by faults.py; Linux.

   Counted are write, pwrite, fsync, rename and link of files below a folder; everything else passes. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { COUNT = 1, KILL, FULL, BROKEN };

static int mode, chosen, calls;
static char below[4096];

void fault_arm(const char *folder, int new_mode, int call) {
    snprintf(below, sizeof below, "%s/", folder);
    mode = new_mode, chosen = call, calls = 0;
}

int fault_calls(void) { return calls; }

static int is_ours(const char *path) { return mode && !strncmp(path, below, strlen(below)); }

static int is_our_file(int file) {
    char link_name[64], path[4096];
    if (!mode) return 0;
    snprintf(link_name, sizeof link_name, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link_name, path, sizeof path - 2);
    if (length < 0) return 0;
    strcpy(path + length, "/"); /* the folder itself is below itself */
    return !strncmp(path, below, strlen(below));
}

/* Whether this call is to fail, with errno set; a kill does not return. */
static int strikes(int grows) {
    int call = ++calls;
    if (mode == KILL && call == chosen) kill(getpid(), SIGKILL);
    if (mode == FULL && grows && call >= chosen) return errno = ENOSPC, 1;
    if (mode == BROKEN && call == chosen) return errno = EIO, 1;
    return 0;
}

ssize_t write(int file, const void *bytes, size_t length) {
    if (is_our_file(file)) {
        if (mode == KILL && calls + 1 == chosen) syscall(SYS_write, file, bytes, length / 2);
        if (strikes(1)) return -1;
    }
    return syscall(SYS_write, file, bytes, length);
}

ssize_t pwrite(int file, const void *bytes, size_t length, off_t at) {
    if (is_our_file(file)) {
        if (mode == KILL && calls + 1 == chosen) syscall(SYS_pwrite64, file, bytes, length / 2, at);
        if (strikes(1)) return -1;
    }
    return syscall(SYS_pwrite64, file, bytes, length, at);
}

ssize_t pwrite64(int file, const void *bytes, size_t length, off_t at) { return pwrite(file, bytes, length, at); }

int fsync(int file) { return is_our_file(file) && strikes(1) ? -1 : (int)syscall(SYS_fsync, file); }

int rename(const char *from, const char *to) {
    return is_ours(to) && strikes(0) ? -1 : (int)syscall(SYS_renameat, AT_FDCWD, from, AT_FDCWD, to);
}

int link(const char *from, const char *to) {
    return is_ours(to) && strikes(0) ? -1 : (int)syscall(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int linkat(int from_folder, const char *from, int to_folder, const char *to, int flags) {
    return is_ours(to) && strikes(0) ? -1 : (int)syscall(SYS_linkat, from_folder, from, to_folder, to, flags);
}
