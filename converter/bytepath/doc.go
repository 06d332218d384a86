// Package bytepath is a confmap converter that finds out which pooledotlp receivers may leave requests encoded, and which adaptivebatch
// processors may encode what they get.
//
// A receiver may do so only when nothing behind it looks into the telemetry: every pipeline of the receiver must consist
// of memory_limiter and adaptivebatch processors and pooledotlp exporters. Only the whole configuration tells, and
// a receiver sees but its own part; the converter sees all of it, after environment variables and --set.
package bytepath
