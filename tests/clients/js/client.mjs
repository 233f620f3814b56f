// The AWS SDK for JavaScript v3 against a gateway: all steps one after the other; the first that fails ends it.
// The settings come as JSON on standard input, see test_sdks.py.
import assert from 'node:assert/strict';
import http from 'node:http';
import https from 'node:https';
import {
  S3Client, AbortMultipartUploadCommand, CopyObjectCommand, CreateMultipartUploadCommand, DeleteObjectCommand,
  DeleteObjectsCommand, GetObjectCommand, HeadBucketCommand, HeadObjectCommand, ListMultipartUploadsCommand,
  ListObjectsCommand, ListPartsCommand, PutObjectCommand, UploadPartCommand, paginateListObjectsV2,
} from '@aws-sdk/client-s3';
import { Upload } from '@aws-sdk/lib-storage';
import { createPresignedPost } from '@aws-sdk/s3-presigned-post';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';

let text = '';
for await (const piece of process.stdin) text += piece;
const given = JSON.parse(text);
const { bucket, frozen, kept, many } = given;

// Virtual-host style names such as bucket.localhost are not known to every resolver.
const lookup = (_name, options, done) =>
  options.all ? done(null, [{ address: '127.0.0.1', family: 4 }]) : done(null, '127.0.0.1', 4);
const connect = (reader = false) => new S3Client({
  endpoint: given.endpoint,
  region: 'us-east-1',
  forcePathStyle: given.path_style,
  maxAttempts: 1,
  credentials: {
    accessKeyId: reader ? given.reader_access_key : given.access_key,
    secretAccessKey: reader ? given.reader_secret_key : given.secret_key,
  },
  requestHandler: {
    httpAgent: new http.Agent({ lookup, keepAlive: true }),
    httpsAgent: new https.Agent({ lookup, keepAlive: true }),
  },
});
const s3 = connect();
const reader = connect(true);
const send = (command, input, client = s3) => client.send(new command(input));
const read = async (input) => Buffer.from(await (await send(GetObjectCommand, input)).Body.transformToByteArray());
const fails = (promise, name, status) => assert.rejects(promise, (error) => {
  assert.deepEqual([error.name, error.$metadata.httpStatusCode], [name, status]);
  return true;
});
/** Send a request by hand to where a URL points. */
const fetchUrl = (url, { method = 'GET', headers = {}, body } = {}) => new Promise((resolve, reject) => {
  const request = (url.startsWith('https') ? https : http).request(url, { method, headers, lookup }, (answer) => {
    const pieces = [];
    answer.on('data', (piece) => pieces.push(piece));
    answer.on('end', () => resolve({ status: answer.statusCode, body: Buffer.concat(pieces) }));
  });
  request.on('error', reject);
  request.end(body);
});

const steps = {
  async transfers() {
    for (const size of [0, 5, 17 * 1024 * 1024 + 3]) {
      const data = Buffer.alloc(size, 'pattern');
      const about = { Bucket: bucket, Key: `size/${size}`, Metadata: { 'made-by': 'js' }, ContentType: 'image/x-raw' };
      await new Upload({ client: s3, params: { ...about, Body: data } }).done();
      assert.ok(data.equals(await read({ Bucket: bucket, Key: about.Key })));
      const head = await send(HeadObjectCommand, { Bucket: bucket, Key: about.Key });
      assert.deepEqual([head.ContentLength, head.ContentType, head.Metadata], [size, 'image/x-raw', { 'made-by': 'js' }]);
    }
    const put = await send(PutObjectCommand, { Bucket: bucket, Key: 'sum', Body: 'x', ChecksumAlgorithm: 'SHA256' });
    const got = await send(GetObjectCommand, { Bucket: bucket, Key: 'sum', ChecksumMode: 'ENABLED' });
    assert.equal(got.ChecksumSHA256, put.ChecksumSHA256);
    assert.equal(await got.Body.transformToString(), 'x');
  },
  async odd_keys() {
    const keys = given.odd_keys;
    for (const key of keys) {
      await send(PutObjectCommand, { Bucket: bucket, Key: `odd/${key}`, Body: key });
      await send(CopyObjectCommand, {
        Bucket: bucket, Key: `copy/${key}`, CopySource: `${bucket}/${encodeURIComponent(`odd/${key}`)}`,
      });
      assert.equal((await read({ Bucket: bucket, Key: `copy/${key}` })).toString(), key);
    }
    const found = await send(ListObjectsCommand, { Bucket: bucket, Prefix: 'odd/' });
    assert.deepEqual(found.Contents.map((item) => item.Key.slice(4)).sort(), [...keys].sort());
    const names = keys.flatMap((key) => [{ Key: `odd/${key}` }, { Key: `copy/${key}` }]);
    const done = await send(DeleteObjectsCommand, { Bucket: bucket, Delete: { Objects: names } });
    assert.equal(done.Deleted.length, names.length);
  },
  async paging() {
    const sizes = [];
    const keys = [];
    for await (const page of paginateListObjectsV2({ client: s3 }, { Bucket: many })) {
      sizes.push(page.KeyCount);
      keys.push(...page.Contents.map((item) => item.Key));
    }
    assert.deepEqual(sizes, [1000, given.many_count - 1000]);
    assert.equal(new Set(keys).size, given.many_count);
  },
  async ranges() {
    const whole = await read({ Bucket: kept, Key: 'sub/big.bin' });
    assert.equal(whole.length, 1048576);
    for (const [range, part] of [['0-0', [0, 1]], ['1000-1999', [1000, 2000]], ['-7', [1048569]], ['1048570-', [1048570]]]) {
      const found = await read({ Bucket: kept, Key: 'sub/big.bin', Range: `bytes=${range}` });
      assert.ok(found.equals(whole.subarray(...part)), range);
    }
    await fails(read({ Bucket: kept, Key: 'sub/big.bin', Range: 'bytes=1048576-' }), 'InvalidRange', 416);
  },
  async conditions() {
    const first = await send(PutObjectCommand, { Bucket: bucket, Key: 'once', Body: '1', IfNoneMatch: '*' });
    await fails(send(PutObjectCommand, { Bucket: bucket, Key: 'once', Body: '2', IfNoneMatch: '*' }), 'PreconditionFailed', 412);
    await send(PutObjectCommand, { Bucket: bucket, Key: 'once', Body: '2', IfMatch: first.ETag });
    assert.equal((await read({ Bucket: bucket, Key: 'once' })).toString(), '2');
    assert.equal((await read({ Bucket: bucket, Key: 'once', VersionId: first.VersionId })).toString(), '1');
    await send(DeleteObjectCommand, { Bucket: bucket, Key: 'once' });
    await fails(read({ Bucket: bucket, Key: 'once' }), 'NoSuchKey', 404);
  },
  async multipart() {
    const about = { Bucket: bucket, Key: 'given up' };
    const { UploadId } = await send(CreateMultipartUploadCommand, about);
    await send(UploadPartCommand, { ...about, UploadId, PartNumber: 1, Body: Buffer.alloc(5 << 20) });
    assert.equal((await send(ListPartsCommand, { ...about, UploadId })).Parts.length, 1);
    assert.equal((await send(ListMultipartUploadsCommand, { Bucket: bucket })).Uploads.length, 1);
    await send(AbortMultipartUploadCommand, { ...about, UploadId });
    assert.equal((await send(ListMultipartUploadsCommand, { Bucket: bucket })).Uploads, undefined);
    await fails(send(ListPartsCommand, { ...about, UploadId }), 'NoSuchUpload', 404);
  },
  async presigned() {
    const about = { Bucket: bucket, Key: 'by url/ä+b c' };
    const put = await getSignedUrl(s3, new PutObjectCommand(about));
    assert.equal((await fetchUrl(put, { method: 'PUT', body: 'by url' })).status, 200);
    const get = await getSignedUrl(s3, new GetObjectCommand(about), { expiresIn: 60 });
    assert.equal((await fetchUrl(get)).body.toString(), 'by url');
    assert.equal((await fetchUrl(get.replace('by%20url', 'no%20url'))).status, 403);
    const { url, fields } = await createPresignedPost(s3, {
      Bucket: bucket, Key: 'by form', Conditions: [['content-length-range', 1, 100]],
    });
    const form = new Response(Object.entries({ ...fields, file: 'by form' }).reduce((all, [name, value]) => {
      all.append(name, value);
      return all;
    }, new FormData()));
    const body = Buffer.from(await form.arrayBuffer());
    const headers = { 'Content-Type': form.headers.get('Content-Type'), 'Content-Length': body.length };
    assert.equal((await fetchUrl(url, { method: 'POST', headers, body })).status, 204);
    assert.equal((await read({ Bucket: bucket, Key: 'by form' })).toString(), 'by form');
  },
  async missing() {
    await fails(read({ Bucket: bucket, Key: 'no' }), 'NoSuchKey', 404);
    await fails(send(HeadObjectCommand, { Bucket: bucket, Key: 'no' }), 'NotFound', 404);
    await fails(send(ListObjectsCommand, { Bucket: 'no-such-bucket' }), 'NoSuchBucket', 404);
    await fails(send(HeadBucketCommand, { Bucket: 'no-such-bucket' }), 'NotFound', 404);
  },
  async read_only() {
    for (const [client, place] of [[s3, frozen], [reader, kept]]) {
      const got = await send(GetObjectCommand, { Bucket: place, Key: 'kept.txt' }, client);
      assert.equal(await got.Body.transformToString(), 'kept\n');
      await fails(send(PutObjectCommand, { Bucket: place, Key: 'new', Body: 'x' }, client), 'AccessDenied', 403);
      await fails(send(DeleteObjectCommand, { Bucket: place, Key: 'kept.txt' }, client), 'AccessDenied', 403);
      await fails(send(CreateMultipartUploadCommand, { Bucket: place, Key: 'new' }, client), 'AccessDenied', 403);
    }
  },
};
for (const [name, step] of Object.entries(steps)) {
  await step();
  console.log(name);
}
s3.destroy();
reader.destroy();
