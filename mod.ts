/**
 * Redis queues and pub/sub: each pattern in a polling and a blocking form, and each class says what
 * it guarantees and how it fails.
 *
 * @example A queue in a Redis list
 * ```ts
 * import { connect, ListQueue } from "@workshop/redis-patterns";
 *
 * const redis = await connect();
 * const queue = new ListQueue<string>(redis, "docs:first_steps");
 *
 * await queue.enqueue("hello");
 * const message = await queue.receive({ waitMs: 5_000 });
 * console.log(message?.payload); // hello
 *
 * await queue.close();
 * await redis.close();
 * ```
 *
 * @module
 */
export {
  connect,
  type ConnectedClient,
  type ConnectedCluster,
  type ConnectedSentinel,
  type ConnectOptions,
  type TlsOptions,
} from "./redis/connect.ts";
export type { ClusterOptions, SentinelOptions } from "./redis/places.ts";
export type { CommandArgument, RedisClient } from "./redis/client.ts";
export { type Codec, type CodecOption, DecodeError } from "./redis/codec.ts";
export { RedisConnectionError, RedisFullError } from "./redis/errors.ts";
export { type QueueKeys, queueKeys } from "./redis/keys.ts";
export type { ConnectionEvent } from "./redis/supervise.ts";

export { ListQueue, type ListQueueOptions } from "./queue/list_queue.ts";
export { ReliableQueue } from "./queue/reliable_queue.ts";
export {
  type Priority,
  type PriorityEnqueueOptions,
  PriorityQueue,
} from "./queue/priority_queue.ts";
export { StreamQueue, type StreamQueueOptions } from "./queue/stream_queue.ts";
export { LeasedQueue } from "./queue/leased_queue.ts";
export {
  type PartitionedEnqueueOptions,
  PartitionedQueue,
  type PartitionedQueueOptions,
} from "./queue/partitioned_queue.ts";
export type {
  ConsumerInfo,
  Counts,
  Enqueued,
  EnqueueManyOptions,
  EnqueueOptions,
  Found,
  FoundState,
  LeasedQueueOptions,
  PeekOptions,
  PeekState,
  PurgeOptions,
  RedriveOptions,
  Waiting,
} from "./queue/leased_types.ts";
export type { DedupeOptions, DedupeWindow, QueueDedupeOptions } from "./queue/dedupe.ts";
export type { Durability } from "./queue/durability.ts";
export type { LogLimits } from "./queue/limits.ts";
export type { RateLimit } from "./queue/rate_limit.ts";
export { listQueues, type RegisteredQueue } from "./queue/registry.ts";
export { type OnFull, QueueFullError } from "./queue/room.ts";
export {
  SchemaError,
  type SchemaIssue,
  type SchemaResult,
  type StandardSchema,
} from "./queue/schema.ts";
export type { QueueSnapshot } from "./queue/snapshot.ts";
export type { Counted, Histogram, Percentiles, QueueStats } from "./queue/stats.ts";
export { Delivery, type GivenBack, type NackOptions, type Settlement } from "./queue/delivery.ts";
export { LeaseLostError } from "./queue/hand.ts";
export type { AttemptError } from "./queue/envelope.ts";
export type { Backoff, BackoffOptions } from "./queue/backoff.ts";
export type { FeedOptions } from "./queue/feed.ts";
export type { ConsumeEvent, Message, Mode, Page, Peeked, ReceiveOptions } from "./queue/message.ts";
export type { Ended, WorkerSource } from "./queue/intake.ts";
export { Worker } from "./queue/worker.ts";
export type {
  Handler,
  HandlerContext,
  Health,
  WorkerEvent,
  WorkerOptions,
} from "./queue/worker_types.ts";

export { type Channel, channel, type ChannelOptions } from "./pubsub/channel.ts";
export { Publisher, type PublisherOptions } from "./pubsub/publisher.ts";
export {
  type PubSubMessage,
  Subscriber,
  type SubscriberEvent,
  type SubscriberOptions,
} from "./pubsub/subscriber.ts";
