import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.time.Instant;
import java.util.Arrays;
import java.util.Properties;
import java.util.concurrent.atomic.LongAdder;
import org.apache.avro.Conversions;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.io.BinaryDecoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.state.Stores;

/**
 * Kafka Streams, as its documentation advises: a windowed aggregation over a grouped stream, in an
 * in-memory window store with a changelog, its cache on, committed every second.
 *
 * <p>Exact decimals. Avro's own library reads the ticks, only the four fields that are needed.
 * A bar goes out with every commit in which it changed, as Tapeline's provisional bars do. Open and
 * close are the first and the last tick that came, not the first and last by (time, sequence); a
 * tick later than the grace of 10 s is dropped, where Tapeline revises; no VWAP; bars are JSON.
 */
public final class Bars {
    private static final Duration MINUTE = Duration.ofMinutes(1);
    private static final LongAdder DONE = new LongAdder();

    record Tick(long eventUs, BigDecimal price, BigDecimal size) {}

    record Bar(BigDecimal open, BigDecimal high, BigDecimal low, BigDecimal close,
               BigDecimal volume, long trades) {
        Bar with(Tick tick) {
            DONE.increment();
            var price = tick.price();
            return trades == 0
                ? new Bar(price, price, price, price, tick.size(), 1)
                : new Bar(open, high.max(price), low.min(price), price, volume.add(tick.size()),
                          trades + 1);
        }

        String json(String symbol, long openMs) {
            return "{\"symbol\":\"" + symbol + "\",\"open_time\":" + openMs * 1000
                + ",\"open\":" + open.toPlainString() + ",\"high\":" + high.toPlainString()
                + ",\"low\":" + low.toPlainString() + ",\"close\":" + close.toPlainString()
                + ",\"volume\":" + volume.toPlainString() + ",\"trades\":" + trades + "}";
        }
    }

    private static final Bar NONE = new Bar(null, null, null, null, null, 0);

    /** Ticks in Avro, behind the five bytes of Confluent's framing. */
    private static final class Ticks {
        private final GenericDatumReader<GenericRecord> reader;
        private final ThreadLocal<BinaryDecoder> decoder = new ThreadLocal<>();

        Ticks(JsonNode written) throws IOException {
            var fields = new ObjectMapper().createArrayNode();
            for (var field : written.get("fields")) {
                switch (field.get("name").asText()) {
                    case "event_time", "price", "size" -> fields.add(field);
                    default -> { }
                }
            }
            var wanted = ((ObjectNode) written.deepCopy()).set("fields", fields);
            var data = new GenericData();
            data.setFastReaderEnabled(true);
            data.addLogicalTypeConversion(new Conversions.DecimalConversion());
            reader = new GenericDatumReader<>(new Schema.Parser().parse(written.toString()),
                                              new Schema.Parser().parse(wanted.toString()), data);
        }

        Tick read(String topic, byte[] value) {
            try {
                var bytes = DecoderFactory.get()
                    .binaryDecoder(value, 5, value.length - 5, decoder.get());
                decoder.set(bytes);
                var record = reader.read(null, bytes);
                return new Tick((long) record.get(0), (BigDecimal) record.get(1),
                                (BigDecimal) record.get(2));
            } catch (IOException error) {
                throw new UncheckedIOException(error);
            }
        }
    }

    /** Bars in the store: a count, then numbers of scale 12, as a long wherever one holds them. */
    private static final Serde<Bar> BAR = Serdes.serdeFrom(
        (topic, bar) -> {
            var bytes = ByteBuffer.allocate(8 + 5 * 17).putLong(bar.trades);
            for (var number : new BigDecimal[] {bar.open, bar.high, bar.low, bar.close, bar.volume}) {
                var unscaled = number.unscaledValue();
                if (unscaled.bitLength() < Long.SIZE) {
                    bytes.put((byte) 0).putLong(unscaled.longValue());
                } else {
                    var digits = unscaled.toByteArray();
                    bytes.put((byte) digits.length).put(digits);
                }
            }
            return Arrays.copyOf(bytes.array(), bytes.position());
        },
        (topic, value) -> {
            if (value == null) {
                return null;
            }
            var bytes = ByteBuffer.wrap(value);
            var trades = bytes.getLong();
            return new Bar(number(bytes), number(bytes), number(bytes), number(bytes),
                           number(bytes), trades);
        });

    private static BigDecimal number(ByteBuffer bytes) {
        int length = bytes.get(), at = bytes.position();
        if (length == 0) {
            return BigDecimal.valueOf(bytes.getLong(), 12);
        }
        bytes.position(at + length);
        return new BigDecimal(new BigInteger(bytes.array(), at, length), 12);
    }

    public static void main(String[] arguments) throws Exception {
        var job = new ObjectMapper().readTree(arguments[0]);
        var ticks = new Ticks(job.get("schema"));
        var tick = Serdes.serdeFrom((topic, value) -> { throw new IllegalStateException(); },
                                    ticks::read);
        var store = Stores.inMemoryWindowStore("bars", Duration.ofMinutes(5), MINUTE, false);
        var builder = new StreamsBuilder();
        builder.stream(job.get("topic").asText(), Consumed.with(Serdes.String(), tick)
                .withTimestampExtractor((record, before) -> ((Tick) record.value()).eventUs() / 1000))
            .groupByKey()
            .windowedBy(TimeWindows.ofSizeAndGrace(MINUTE, Duration.ofSeconds(10)))
            .aggregate(() -> NONE, (symbol, one, bar) -> bar.with(one),
                       Materialized.<String, Bar>as(store).withValueSerde(BAR)
                           .withKeySerde(Serdes.String()).withCachingEnabled())
            .toStream()
            .map((key, bar) -> KeyValue.pair(key.key(), bar.json(key.key(), key.window().start())))
            .to(job.get("bars").asText(), Produced.with(Serdes.String(), Serdes.String()));
        var streams = new KafkaStreams(builder.build(), settings(job));
        streams.setUncaughtExceptionHandler(error -> {
            error.printStackTrace();
            Runtime.getRuntime().halt(1);
            return null;
        });
        streams.start();
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
        streams.close(Duration.ofSeconds(10));
    }

    private static Properties settings(JsonNode job) {
        var settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, job.get("group").asText());
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, job.get("broker").asText());
        settings.put(StreamsConfig.STATE_DIR_CONFIG, job.get("home").asText() + "/kafka-streams");
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, job.get("threads").asInt());
        settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 1000);
        settings.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 64 << 20);
        settings.put(StreamsConfig.BUFFERED_RECORDS_PER_PARTITION_CONFIG, 10_000);
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_POLL_RECORDS_CONFIG), 10_000);
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.COMPRESSION_TYPE_CONFIG), "lz4");
        return settings;
    }
}
