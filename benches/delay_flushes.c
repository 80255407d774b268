/* Makes each flush of a file to the disk take longer, as on a disk behind a network: preloaded into the server. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>

static void wait_two_milliseconds(void)
{
    struct timespec left = {0, 2000000};
    while (nanosleep(&left, &left) != 0) {
    }
}

static int delayed(const char *name, int file)
{
    int (*flush)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    wait_two_milliseconds();
    return flush(file);
}

int fdatasync(int file)
{
    return delayed("fdatasync", file);
}

int fsync(int file)
{
    return delayed("fsync", file);
}
