// Package connpool spreads the calls of one client over several connections.
//
// For gRPC it is a balancer, registered under Name, so that any gRPC client in the process can use it: either by name
// alone, or through a Pool, which also carries a configuration and gives statistics. It keeps N sub-connections per
// address, hands out calls in turn but few to those with many in flight, opens more while they are loaded beyond a target,
// closes them again when they are not, replaces those that are old, and takes out those that fail or do not answer.
//
// grpc-go's own outlier detection is keyed by address and its health stream is silent on a connection that swallows
// packets; both say nothing about one bad connection among several to the same address. So failures are counted per
// connection here, and health is asked with unary calls that have a deadline.
package connpool
