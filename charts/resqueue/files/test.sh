# Enqueues a job to one pool and waits until it was performed. "$@" is how `resqueue` is called.
id=$(tr -d - < /proc/sys/kernel/random/uuid)
echo "job $id of class $TEST_CLASS to queue $TEST_QUEUE"
printf '{"id":"%s",%s\n' "$id" "${TEST_JOB#?}" | "$@" enqueue --from - --track
left=$TEST_SECONDS
while [ "$left" -gt 0 ]; do
  status=$("$@" job show "$id" || true)
  case $status in
    *complete,*) echo "$status"; echo "performed"; exit 0 ;;
    *failed,*) echo "$status"; echo "The job failed. Is $TEST_CLASS a class that this pool knows (test.job.class)?" >&2; exit 1 ;;
  esac
  sleep 1
  left=$((left - 1))
done
echo "$status"
"$@" queue ls "$TEST_QUEUE" || true
"$@" worker ls || true
echo "The job was not performed within $TEST_SECONDS s. Does a worker run, and is the queue not paused?" >&2
exit 1
