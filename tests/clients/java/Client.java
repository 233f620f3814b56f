import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.HttpURLConnection;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;
import software.amazon.awssdk.core.sync.RequestBody;
import software.amazon.awssdk.http.urlconnection.UrlConnectionHttpClient;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.s3.S3AsyncClient;
import software.amazon.awssdk.services.s3.S3Client;
import software.amazon.awssdk.services.s3.S3Configuration;
import software.amazon.awssdk.services.s3.model.GetObjectRequest;
import software.amazon.awssdk.services.s3.model.ObjectIdentifier;
import software.amazon.awssdk.services.s3.model.PutObjectRequest;
import software.amazon.awssdk.services.s3.model.S3Exception;
import software.amazon.awssdk.services.s3.presigner.S3Presigner;
import software.amazon.awssdk.transfer.s3.S3TransferManager;

/**
 * The AWS SDK for Java 2 against a gateway: all steps one after the other; the first that fails ends it. Settings are
 * system properties and odd keys arguments, see test_sdks.py.
 */
public final class Client {
    private static final int MIB = 1 << 20;
    private static final URI ENDPOINT = URI.create(given("endpoint"));
    private static final boolean PATH_STYLE = Boolean.parseBoolean(given("path_style"));
    private static final String BUCKET = given("bucket");
    private static final String KEPT = given("kept");
    private static final S3Client S3 = connect("access_key", "secret_key");
    private static final S3Client READER = connect("reader_access_key", "reader_secret_key");
    private static List<String> oddKeys;

    private static String given(String name) {
        return System.getProperty(name);
    }

    private static StaticCredentialsProvider credentials(String access, String secret) {
        return StaticCredentialsProvider.create(AwsBasicCredentials.create(given(access), given(secret)));
    }

    private static S3Client connect(String access, String secret) {
        return S3Client.builder().endpointOverride(ENDPOINT).region(Region.US_EAST_1).forcePathStyle(PATH_STYLE)
            .credentialsProvider(credentials(access, secret)).httpClient(UrlConnectionHttpClient.create())
            .overrideConfiguration(o -> o.retryStrategy(r -> r.maxAttempts(1))).build();
    }

    private static void require(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }

    private static void fails(Runnable call, String code, int status) {
        try {
            call.run();
        } catch (S3Exception refused) {
            String found = refused.awsErrorDetails().errorCode();
            require(refused.statusCode() == status && (code == null || code.equals(found)), refused.getMessage());
            return;
        }
        throw new AssertionError("not refused with " + code);
    }

    private static byte[] get(String bucket, String key, String range) {
        return S3.getObjectAsBytes(r -> r.bucket(bucket).key(key).range(range)).asByteArray();
    }

    private static void put(String key, String body) {
        S3.putObject(r -> r.bucket(BUCKET).key(key), RequestBody.fromString(body));
    }

    private static void transfers() {
        for (int size : new int[] {0, 5, 17 * MIB + 3}) {
            byte[] data = new byte[size];
            Arrays.fill(data, (byte) 7);
            PutObjectRequest about = PutObjectRequest.builder().bucket(BUCKET).key("size/" + size)
                .contentType("image/x-raw").metadata(Map.of("made-by", "java")).build();
            S3.putObject(about, RequestBody.fromBytes(data));
            require(Arrays.equals(get(BUCKET, about.key(), null), data), about.key() + " differs");
            var head = S3.headObject(r -> r.bucket(BUCKET).key(about.key()));
            require(head.contentLength() == size && head.contentType().equals("image/x-raw")
                && head.metadata().get("made-by").equals("java"), "head: " + head);
        }
    }

    /** The transfer manager: parts in parallel over Netty, from and to a file. */
    private static void manager() throws IOException {
        Path up = Files.createTempFile("up", null);
        Path down = Files.createTempFile("down", null);
        byte[] data = new byte[17 * MIB + 3];
        Arrays.fill(data, (byte) 8);
        Files.write(up, data);
        try (S3AsyncClient client = S3AsyncClient.builder().endpointOverride(ENDPOINT).region(Region.US_EAST_1)
                .forcePathStyle(PATH_STYLE).credentialsProvider(credentials("access_key", "secret_key"))
                .multipartEnabled(true).build();
                S3TransferManager transfers = S3TransferManager.builder().s3Client(client).build()) {
            transfers.uploadFile(r -> r.source(up).putObjectRequest(p -> p.bucket(BUCKET).key("by parts")))
                .completionFuture().join();
            require(S3.headObject(r -> r.bucket(BUCKET).key("by parts")).eTag().endsWith("-3\""), "not in three parts");
            transfers.downloadFile(r -> r.destination(down).getObjectRequest(g -> g.bucket(BUCKET).key("by parts")))
                .completionFuture().join();
            require(Arrays.equals(Files.readAllBytes(down), data), "the file differs");
        } finally {
            Files.delete(up);
            Files.delete(down);
        }
    }

    private static void odd() {
        List<ObjectIdentifier> names = new ArrayList<>();
        for (String key : oddKeys) {
            String copy = "copy/" + key;
            put("odd/" + key, key);
            S3.copyObject(r -> r.sourceBucket(BUCKET).sourceKey("odd/" + key).destinationBucket(BUCKET).destinationKey(copy));
            require(new String(get(BUCKET, copy, null), StandardCharsets.UTF_8).equals(key), key + " differs");
            names.add(ObjectIdentifier.builder().key("odd/" + key).build());
            names.add(ObjectIdentifier.builder().key(copy).build());
        }
        List<String> found = new ArrayList<>();
        S3.listObjects(r -> r.bucket(BUCKET).prefix("odd/")).contents().forEach(item -> found.add(item.key().substring(4)));
        found.sort(null);
        oddKeys.sort(null);
        require(found.equals(oddKeys), "listed " + found);
        int deleted = S3.deleteObjects(r -> r.bucket(BUCKET).delete(d -> d.objects(names))).deleted().size();
        require(deleted == names.size(), "deleted " + deleted);
    }

    private static void paging() {
        List<Integer> sizes = new ArrayList<>();
        S3.listObjectsV2Paginator(r -> r.bucket(given("many"))).forEach(page -> sizes.add(page.contents().size()));
        require(sizes.equals(List.of(1000, Integer.parseInt(given("many_count")) - 1000)), "pages of " + sizes);
    }

    private static void ranges() {
        byte[] whole = get(KEPT, "sub/big.bin", null);
        Map<String, byte[]> parts = Map.of("0-0", Arrays.copyOf(whole, 1), "1000-1999", Arrays.copyOfRange(whole, 1000, 2000),
            "-7", Arrays.copyOfRange(whole, MIB - 7, MIB), "1048570-", Arrays.copyOfRange(whole, 1048570, MIB));
        parts.forEach((range, part) ->
            require(Arrays.equals(get(KEPT, "sub/big.bin", "bytes=" + range), part), "range " + range + " differs"));
        fails(() -> get(KEPT, "sub/big.bin", "bytes=1048576-"), "InvalidRange", 416);
    }

    private static void conditions() {
        var first = S3.putObject(r -> r.bucket(BUCKET).key("once").ifNoneMatch("*"), RequestBody.fromString("1"));
        fails(() -> S3.putObject(r -> r.bucket(BUCKET).key("once").ifNoneMatch("*"), RequestBody.fromString("2")),
            "PreconditionFailed", 412);
        S3.putObject(r -> r.bucket(BUCKET).key("once").ifMatch(first.eTag()), RequestBody.fromString("2"));
        require(new String(get(BUCKET, "once", null), StandardCharsets.UTF_8).equals("2"), "not overwritten");
        var old = S3.getObjectAsBytes(r -> r.bucket(BUCKET).key("once").versionId(first.versionId()));
        require(old.asUtf8String().equals("1"), "another version");
        S3.deleteObject(r -> r.bucket(BUCKET).key("once"));
        fails(() -> get(BUCKET, "once", null), "NoSuchKey", 404);
    }

    private static void multipart() {
        String id = S3.createMultipartUpload(r -> r.bucket(BUCKET).key("given up")).uploadId();
        S3.uploadPart(r -> r.bucket(BUCKET).key("given up").uploadId(id).partNumber(1), RequestBody.fromBytes(new byte[5 * MIB]));
        require(S3.listParts(r -> r.bucket(BUCKET).key("given up").uploadId(id)).parts().size() == 1, "parts");
        require(S3.listMultipartUploads(r -> r.bucket(BUCKET)).uploads().size() == 1, "uploads");
        S3.abortMultipartUpload(r -> r.bucket(BUCKET).key("given up").uploadId(id));
        require(S3.listMultipartUploads(r -> r.bucket(BUCKET)).uploads().isEmpty(), "uploads after the abort");
        fails(() -> S3.listParts(r -> r.bucket(BUCKET).key("given up").uploadId(id)), "NoSuchUpload", 404);
    }

    private static int status(String url) throws IOException {
        return ((HttpURLConnection) URI.create(url).toURL().openConnection()).getResponseCode();
    }

    private static void presigned() throws IOException {
        String key = "by url/\u00e4+b c";
        put(key, "by url");
        try (S3Presigner signer = S3Presigner.builder().endpointOverride(ENDPOINT).region(Region.US_EAST_1)
                .serviceConfiguration(S3Configuration.builder().pathStyleAccessEnabled(PATH_STYLE).build())
                .credentialsProvider(credentials("access_key", "secret_key")).build()) {
            GetObjectRequest wanted = GetObjectRequest.builder().bucket(BUCKET).key(key).build();
            String url = signer.presignGetObject(p -> p.signatureDuration(Duration.ofMinutes(1)).getObjectRequest(wanted))
                .url().toString();
            require(status(url) == 200, url);
            require(status(url.replace("by%20url", "no%20url")) == 403, "a changed URL is good");
        }
    }

    private static void missing() {
        fails(() -> get(BUCKET, "no", null), "NoSuchKey", 404);
        fails(() -> S3.headObject(r -> r.bucket(BUCKET).key("no")), null, 404);
        fails(() -> S3.listObjects(r -> r.bucket("no-such-bucket")), "NoSuchBucket", 404);
        fails(() -> S3.headBucket(r -> r.bucket("no-such-bucket")), null, 404);
    }

    private static void readOnly() {
        Map.of(given("frozen"), S3, KEPT, READER).forEach((bucket, client) -> {
            require(client.getObjectAsBytes(r -> r.bucket(bucket).key("kept.txt")).asUtf8String().equals("kept\n"), "kept.txt");
            fails(() -> client.putObject(r -> r.bucket(bucket).key("new"), RequestBody.fromString("x")), "AccessDenied", 403);
            fails(() -> client.deleteObject(r -> r.bucket(bucket).key("kept.txt")), "AccessDenied", 403);
            fails(() -> client.createMultipartUpload(r -> r.bucket(bucket).key("new")), "AccessDenied", 403);
        });
    }

    @FunctionalInterface
    private interface Step {
        void run() throws IOException;
    }

    public static void main(String[] arguments) {
        oddKeys = new ArrayList<>(List.of(arguments));
        Map<String, Step> steps = new LinkedHashMap<>();
        steps.put("transfers", Client::transfers);
        steps.put("manager", Client::manager);
        steps.put("odd_keys", Client::odd);
        steps.put("paging", Client::paging);
        steps.put("ranges", Client::ranges);
        steps.put("conditions", Client::conditions);
        steps.put("multipart", Client::multipart);
        steps.put("presigned", Client::presigned);
        steps.put("missing", Client::missing);
        steps.put("read_only", Client::readOnly);
        steps.forEach((name, step) -> {
            try {
                step.run();
            } catch (IOException failed) {
                throw new UncheckedIOException(name, failed);
            }
            System.out.println(name);
        });
        S3.close();
        READER.close();
    }
}
