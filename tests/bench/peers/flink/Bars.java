import java.time.Instant;
import java.util.Map;
import java.util.concurrent.atomic.LongAdder;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.ObjectMapper;
import org.apache.flink.table.api.EnvironmentSettings;
import org.apache.flink.table.api.TableEnvironment;
import org.apache.flink.table.functions.ScalarFunction;

/**
 * Flink SQL as its documentation writes it: Avro by a Confluent registry, a watermark, a tumbling
 * window, bars into Kafka; in a cluster within this process, with a checkpoint every second.
 *
 * <p>Exact decimals. Bars go out once, when the watermark has passed them: nothing provisional, and
 * a tick later than that is dropped, where Tapeline revises. Open and close are the first and the
 * last tick that came. No VWAP; bars are JSON. The source ends where the topic ended at the start,
 * so that the last windows close; what is counted is ticks that have been read and decoded, which
 * is a little before they are in their windows, in Flink's favour.
 */
public final class Bars {
    private static final LongAdder DONE = new LongAdder();

    /** Counts ticks on their way; the only thing that is not the user's. */
    public static final class Seen extends ScalarFunction {
        public boolean eval(long eventUs) {
            DONE.increment();
            return true;
        }

        @Override
        public boolean isDeterministic() {
            return false;
        }
    }

    private static final String TICKS = """
        CREATE TABLE ticks (
          `symbol` STRING, `event_time` BIGINT NOT NULL, `price` DECIMAL(38, 12), `size` DECIMAL(38, 12),
          `at` AS TO_TIMESTAMP_LTZ(`event_time` / 1000, 3),
          WATERMARK FOR `at` AS `at` - INTERVAL '1' SECOND
        ) WITH (
          'connector' = 'kafka', 'topic' = '%s', 'properties.bootstrap.servers' = '%s',
          'properties.group.id' = '%s', 'scan.startup.mode' = 'earliest-offset',
          'scan.bounded.mode' = 'latest-offset', 'properties.max.poll.records' = '10000',
          'value.format' = 'avro-confluent', 'value.avro-confluent.url' = '%s')
        """;

    private static final String BARS = """
        CREATE TABLE bars (
          `symbol` STRING, `open_time` BIGINT, `open` DECIMAL(38, 12), `high` DECIMAL(38, 12),
          `low` DECIMAL(38, 12), `close` DECIMAL(38, 12), `volume` DECIMAL(38, 12), `trades` BIGINT
        ) WITH (
          'connector' = 'kafka', 'topic' = '%s', 'properties.bootstrap.servers' = '%s',
          'key.format' = 'raw', 'key.fields' = 'symbol', 'value.format' = 'json',
          'value.json.encode.decimal-as-plain-number' = 'true',
          'sink.delivery-guarantee' = 'at-least-once', 'properties.linger.ms' = '20',
          'properties.compression.type' = 'lz4')
        """;

    private static final String JOB = """
        INSERT INTO bars
        SELECT `symbol`, UNIX_TIMESTAMP(CAST(window_start AS STRING)) * 1000000,
               FIRST_VALUE(`price`), MAX(`price`), MIN(`price`), LAST_VALUE(`price`),
               SUM(`size`), COUNT(*)
        FROM TABLE(TUMBLE(TABLE ticks, DESCRIPTOR(`at`), INTERVAL '1' MINUTE))
        WHERE SEEN(`event_time`)
        GROUP BY `symbol`, window_start, window_end
        """;

    public static void main(String[] arguments) throws Exception {
        var job = new ObjectMapper().readTree(arguments[0]);
        String broker = job.get("broker").asText();
        var settings = Configuration.fromMap(Map.of(
            "parallelism.default", "2",
            "execution.checkpointing.interval", "1 s",
            "state.backend.type", "hashmap",
            "pipeline.object-reuse", "true",
            "table.local-time-zone", "UTC"));
        var flink = TableEnvironment.create(EnvironmentSettings.newInstance().inStreamingMode()
            .withConfiguration(settings).build());
        flink.createTemporarySystemFunction("SEEN", Seen.class);
        flink.executeSql(TICKS.formatted(job.get("topic").asText(), broker,
                                         job.get("group").asText(), job.get("registry").asText()));
        flink.executeSql(BARS.formatted(job.get("bars").asText(), broker));
        var running = flink.executeSql(JOB).getJobClient().orElseThrow();
        running.getJobExecutionResult().whenComplete((done, error) -> {
            if (error != null) {
                error.printStackTrace();
                Runtime.getRuntime().halt(1);
            }
        });
        long all = job.get("ticks").asLong();
        for (long until : new long[] {1, all / 2, all}) {
            while (DONE.sum() < until) {
                Thread.sleep(1);
            }
            var now = Instant.now();
            System.out.printf("{\"at\": %d.%09d, \"ticks\": %d}%n", now.getEpochSecond(),
                              now.getNano(), DONE.sum());
        }
        while (System.in.read() >= 0) { }
        Runtime.getRuntime().halt(0);
    }
}
