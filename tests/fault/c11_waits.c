/* libfaketime corrects pthread_cond_timedwait for a wrong clock, and knows nothing of C11's
 * cnd_timedwait, with which librdkafka waits. In glibc the two are one; here they are again. */
#include <errno.h>
#include <pthread.h>
#include <threads.h>

int cnd_timedwait(cnd_t *restrict condition, mtx_t *restrict mutex,
                  const struct timespec *restrict until) {
    int found = pthread_cond_timedwait((pthread_cond_t *)condition, (pthread_mutex_t *)mutex, until);
    return found == 0 ? thrd_success : found == ETIMEDOUT ? thrd_timedout : thrd_error;
}
