// The AWS SDK for Go v2 against a gateway: all steps one after the other; the first that fails ends it.
// The settings come as JSON on standard input, see test_sdks.py.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/feature/s3/manager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
)

const mib = 1 << 20

type settings struct {
	Endpoint        string   `json:"endpoint"`
	PathStyle       bool     `json:"path_style"`
	AccessKey       string   `json:"access_key"`
	SecretKey       string   `json:"secret_key"`
	ReaderAccessKey string   `json:"reader_access_key"`
	ReaderSecretKey string   `json:"reader_secret_key"`
	Bucket          string   `json:"bucket"`
	Kept            string   `json:"kept"`
	Frozen          string   `json:"frozen"`
	Many            string   `json:"many"`
	ManyCount       int      `json:"many_count"`
	OddKeys         []string `json:"odd_keys"`
}

var (
	given  settings
	ctx    = context.Background()
	client aws.HTTPClient
	api    *s3.Client
	reader *s3.Client
)

func require(ok bool, format string, values ...any) {
	if !ok {
		panic(fmt.Sprintf(format, values...))
	}
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// fails wants an error with a code; HEAD has none but its status.
func fails(err error, code string) {
	var found smithy.APIError
	require(errors.As(err, &found), "%v is not an answer of the service", err)
	require(found.ErrorCode() == code, "%s instead of %s: %v", found.ErrorCode(), code, err)
}

// connect takes the authority from AWS_CA_BUNDLE and resolves every name to the loopback: bucket.s3.localhost is not
// known to every resolver.
func connect(access, secret string) *s3.Client {
	resolved := awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			_, port, _ := net.SplitHostPort(address)
			return (&net.Dialer{}).DialContext(ctx, network, "127.0.0.1:"+port)
		}
	})
	loaded := must(config.LoadDefaultConfig(ctx, config.WithRegion("us-east-1"), config.WithHTTPClient(resolved),
		config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider(access, secret, ""))))
	client = loaded.HTTPClient
	return s3.NewFromConfig(loaded, func(o *s3.Options) {
		o.BaseEndpoint, o.UsePathStyle, o.RetryMaxAttempts = &given.Endpoint, given.PathStyle, 1
	})
}

func get(in *s3.GetObjectInput) []byte {
	got := must(api.GetObject(ctx, in))
	defer got.Body.Close()
	return must(io.ReadAll(got.Body))
}

func put(key, body string) (*s3.PutObjectOutput, error) {
	return api.PutObject(ctx, &s3.PutObjectInput{Bucket: &given.Bucket, Key: &key, Body: strings.NewReader(body)})
}

func transfers() {
	for _, size := range []int{0, 5, 17*mib + 3} {
		key, data := fmt.Sprintf("size/%d", size), bytes.Repeat([]byte("pattern."), size/8+1)[:size]
		meta := map[string]string{"made-by": "go"}
		must(manager.NewUploader(api).Upload(ctx, &s3.PutObjectInput{
			Bucket: &given.Bucket, Key: &key, Body: bytes.NewReader(data), Metadata: meta, ContentType: aws.String("image/x-raw")}))
		buffer := manager.NewWriteAtBuffer(nil)
		must(manager.NewDownloader(api).Download(ctx, buffer, &s3.GetObjectInput{Bucket: &given.Bucket, Key: &key}))
		require(bytes.Equal(buffer.Bytes(), data), "%s differs", key)
		head := must(api.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &given.Bucket, Key: &key}))
		require(*head.ContentLength == int64(size) && *head.ContentType == "image/x-raw" && head.Metadata["made-by"] == "go",
			"head of %s: %v", key, head)
	}
	// A stream of unknown length: parts of a size that nobody announced.
	key := "stream"
	must(manager.NewUploader(api).Upload(ctx, &s3.PutObjectInput{
		Bucket: &given.Bucket, Key: &key, Body: io.LimitReader(strings.NewReader(strings.Repeat("x", 6*mib)), 6*mib)}))
	require(len(get(&s3.GetObjectInput{Bucket: &given.Bucket, Key: &key})) == 6*mib, "the stream has another length")
}

func oddKeys() {
	var found []string
	names := []types.ObjectIdentifier{}
	for _, key := range given.OddKeys {
		from, to := "odd/"+key, "copy/"+key
		must(put(from, key))
		must(api.CopyObject(ctx, &s3.CopyObjectInput{
			Bucket: &given.Bucket, Key: &to, CopySource: aws.String(given.Bucket + "/" + url.QueryEscape(from))}))
		require(string(get(&s3.GetObjectInput{Bucket: &given.Bucket, Key: &to})) == key, "%q differs", key)
		names = append(names, types.ObjectIdentifier{Key: &from}, types.ObjectIdentifier{Key: &to})
	}
	for _, item := range must(api.ListObjects(ctx, &s3.ListObjectsInput{Bucket: &given.Bucket, Prefix: aws.String("odd/")})).Contents {
		found = append(found, strings.TrimPrefix(*item.Key, "odd/"))
	}
	slices.Sort(given.OddKeys)
	require(slices.Equal(found, given.OddKeys), "listed %q", found)
	done := must(api.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: &given.Bucket, Delete: &types.Delete{Objects: names}}))
	require(len(done.Deleted) == len(names), "deleted %d", len(done.Deleted))
}

func paging() {
	var sizes []int
	pages := s3.NewListObjectsV2Paginator(api, &s3.ListObjectsV2Input{Bucket: &given.Many})
	for pages.HasMorePages() {
		sizes = append(sizes, len(must(pages.NextPage(ctx)).Contents))
	}
	require(slices.Equal(sizes, []int{1000, given.ManyCount - 1000}), "pages of %v", sizes)
}

func ranges() {
	key := "sub/big.bin"
	whole := get(&s3.GetObjectInput{Bucket: &given.Kept, Key: &key})
	require(len(whole) == mib, "%d bytes", len(whole))
	for text, part := range map[string][]byte{
		"0-0": whole[:1], "1000-1999": whole[1000:2000], "-7": whole[mib-7:], "1048570-": whole[1048570:]} {
		found := get(&s3.GetObjectInput{Bucket: &given.Kept, Key: &key, Range: aws.String("bytes=" + text)})
		require(bytes.Equal(found, part), "range %s differs", text)
	}
	_, err := api.GetObject(ctx, &s3.GetObjectInput{Bucket: &given.Kept, Key: &key, Range: aws.String("bytes=1048576-")})
	fails(err, "InvalidRange")
}

func conditions() {
	key, once := "once", func(match, none *string, body string) (*s3.PutObjectOutput, error) {
		return api.PutObject(ctx, &s3.PutObjectInput{
			Bucket: &given.Bucket, Key: aws.String("once"), Body: strings.NewReader(body), IfMatch: match, IfNoneMatch: none})
	}
	first := must(once(nil, aws.String("*"), "1"))
	_, err := once(nil, aws.String("*"), "2")
	fails(err, "PreconditionFailed")
	must(once(first.ETag, nil, "2"))
	require(string(get(&s3.GetObjectInput{Bucket: &given.Bucket, Key: &key})) == "2", "not overwritten")
	require(string(get(&s3.GetObjectInput{Bucket: &given.Bucket, Key: &key, VersionId: first.VersionId})) == "1", "no version")
	must(api.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &given.Bucket, Key: &key}))
	_, err = api.GetObject(ctx, &s3.GetObjectInput{Bucket: &given.Bucket, Key: &key})
	fails(err, "NoSuchKey")
}

func multipart() {
	key := aws.String("given up")
	id := must(api.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: &given.Bucket, Key: key})).UploadId
	must(api.UploadPart(ctx, &s3.UploadPartInput{
		Bucket: &given.Bucket, Key: key, UploadId: id, PartNumber: aws.Int32(1), Body: bytes.NewReader(make([]byte, 5*mib))}))
	parts := &s3.ListPartsInput{Bucket: &given.Bucket, Key: key, UploadId: id}
	require(len(must(api.ListParts(ctx, parts)).Parts) == 1, "the part is not listed")
	uploads := &s3.ListMultipartUploadsInput{Bucket: &given.Bucket}
	require(len(must(api.ListMultipartUploads(ctx, uploads)).Uploads) == 1, "the upload is not listed")
	must(api.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &given.Bucket, Key: key, UploadId: id}))
	require(len(must(api.ListMultipartUploads(ctx, uploads)).Uploads) == 0, "the upload is still listed")
	_, err := api.ListParts(ctx, parts)
	fails(err, "NoSuchUpload")
}

func presigned() {
	key, signer := aws.String("by url/ä+b c"), s3.NewPresignClient(api)
	send := func(method, address, body string) (int, string) {
		request := must(http.NewRequest(method, address, strings.NewReader(body)))
		answer := must(client.Do(request))
		defer answer.Body.Close()
		return answer.StatusCode, string(must(io.ReadAll(answer.Body)))
	}
	up := must(signer.PresignPutObject(ctx, &s3.PutObjectInput{Bucket: &given.Bucket, Key: key}))
	status, text := send("PUT", up.URL, "by url")
	require(status == 200, "PUT by URL: %d %s", status, text)
	down := must(signer.PresignGetObject(ctx, &s3.GetObjectInput{Bucket: &given.Bucket, Key: key}, s3.WithPresignExpires(time.Minute)))
	status, text = send("GET", down.URL, "")
	require(status == 200 && text == "by url", "GET by URL: %d %s", status, text)
	status, _ = send("GET", strings.Replace(down.URL, "by%20url", "no%20url", 1), "")
	require(status == 403, "a changed URL: %d", status)
}

func missing() {
	no := aws.String("no-such-bucket")
	_, err := api.GetObject(ctx, &s3.GetObjectInput{Bucket: &given.Bucket, Key: aws.String("no")})
	fails(err, "NoSuchKey")
	_, err = api.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &given.Bucket, Key: aws.String("no")})
	fails(err, "NotFound")
	_, err = api.ListObjects(ctx, &s3.ListObjectsInput{Bucket: no})
	fails(err, "NoSuchBucket")
	_, err = api.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: no})
	fails(err, "NotFound")
}

func readOnly() {
	for bucket, by := range map[*string]*s3.Client{&given.Frozen: api, &given.Kept: reader} {
		got := must(by.GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: aws.String("kept.txt")}))
		require(string(must(io.ReadAll(got.Body))) == "kept\n", "kept.txt differs")
		_, err := by.PutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: aws.String("new"), Body: strings.NewReader("x")})
		fails(err, "AccessDenied")
		_, err = by.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: bucket, Key: aws.String("kept.txt")})
		fails(err, "AccessDenied")
		_, err = by.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: bucket, Key: aws.String("new")})
		fails(err, "AccessDenied")
	}
}

func main() {
	if err := json.NewDecoder(os.Stdin).Decode(&given); err != nil {
		panic(err)
	}
	api, reader = connect(given.AccessKey, given.SecretKey), connect(given.ReaderAccessKey, given.ReaderSecretKey)
	for _, step := range []struct {
		name string
		run  func()
	}{
		{"transfers", transfers}, {"odd_keys", oddKeys}, {"paging", paging}, {"ranges", ranges}, {"conditions", conditions},
		{"multipart", multipart}, {"presigned", presigned}, {"missing", missing}, {"read_only", readOnly},
	} {
		step.run()
		fmt.Println(step.name)
	}
}
