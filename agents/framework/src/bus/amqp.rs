//! RabbitMQ through amqprs.
