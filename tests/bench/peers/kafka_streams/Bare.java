import com.fasterxml.jackson.databind.ObjectMapper;
import java.time.Duration;
import java.time.Instant;
import java.util.Map;
import java.util.stream.IntStream;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** A bare Java consumer: takes every record and its value, and does nothing with them. */
public final class Bare {
    public static void main(String[] arguments) throws Exception {
        var job = new ObjectMapper().readTree(arguments[0]);
        var partitions = IntStream.range(0, job.get("partitions").asInt())
            .mapToObj(n -> new TopicPartition(job.get("topic").asText(), n)).toList();
        Map<String, Object> settings = Map.of(
            "bootstrap.servers", job.get("broker").asText(), "enable.auto.commit", false,
            "auto.offset.reset", "earliest", "max.poll.records", 50_000,
            "max.partition.fetch.bytes", 8 << 20);
        var bytes = new ByteArrayDeserializer();
        try (var consumer = new KafkaConsumer<>(settings, bytes, bytes)) {
            consumer.assign(partitions);
            long done = 0, size = 0, all = job.get("ticks").asLong();
            long[] until = {1, all / 2, all};
            for (int next = 0; next < until.length; ) {
                for (var record : consumer.poll(Duration.ofSeconds(1))) {
                    size += record.value().length;
                    done++;
                }
                for (; next < until.length && done >= until[next]; next++) {
                    var now = Instant.now();
                    System.out.printf("{\"at\": %d.%09d, \"ticks\": %d}%n", now.getEpochSecond(),
                                      now.getNano(), done);
                }
            }
            while (System.in.read() >= 0) { }
        }
    }
}
