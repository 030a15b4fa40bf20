-- What Mail::SpamAssassin::BayesStore::PgSQL and Mail::SpamAssassin::Conf::SQL ask for, and no more.
CREATE TABLE userpref (
    username text NOT NULL,
    preference text NOT NULL,
    value text NOT NULL
);
CREATE TABLE bayes_global_vars (variable text PRIMARY KEY, value text NOT NULL);
INSERT INTO bayes_global_vars VALUES ('VERSION', '3');
CREATE TABLE bayes_vars (
    id serial PRIMARY KEY,
    username text NOT NULL UNIQUE,
    spam_count int NOT NULL DEFAULT 0,
    ham_count int NOT NULL DEFAULT 0,
    token_count int NOT NULL DEFAULT 0,
    last_expire int NOT NULL DEFAULT 0,
    last_atime_delta int NOT NULL DEFAULT 0,
    last_expire_reduce int NOT NULL DEFAULT 0,
    oldest_token_age int NOT NULL DEFAULT 2147483647,
    newest_token_age int NOT NULL DEFAULT 0
);
CREATE TABLE bayes_seen (
    id int NOT NULL,
    msgid text NOT NULL,
    flag character(1) NOT NULL,
    PRIMARY KEY (id, msgid)
);
CREATE TABLE bayes_token (
    id int NOT NULL,
    token bytea NOT NULL,
    spam_count int NOT NULL,
    ham_count int NOT NULL,
    atime int NOT NULL,
    PRIMARY KEY (id, token)
);
CREATE TABLE bayes_expire (id int NOT NULL, runtime int NOT NULL);

-- Adds to the counts of many tokens, in one statement; called by the name and with the arguments that PgSQL.pm uses.
CREATE FUNCTION put_tokens(who int, tokens bytea[], spam int, ham int, used int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    before bigint;
    after bigint;
BEGIN
    SELECT count(*) INTO before FROM bayes_token WHERE id = who;
    IF spam < 0 OR ham < 0 THEN
        UPDATE bayes_token SET
            spam_count = greatest(spam_count + spam, 0), ham_count = greatest(ham_count + ham, 0)
        WHERE id = who AND token = ANY (tokens);
    ELSE
        INSERT INTO bayes_token AS known (id, token, spam_count, ham_count, atime)
        SELECT DISTINCT who, each, spam, ham, used FROM unnest(tokens) AS each
        ON CONFLICT (id, token) DO UPDATE SET
            spam_count = known.spam_count + spam, ham_count = known.ham_count + ham,
            atime = greatest(known.atime, used);
    END IF;
    SELECT count(*) INTO after FROM bayes_token WHERE id = who;
    UPDATE bayes_vars SET
        token_count = token_count + (after - before),
        newest_token_age = greatest(newest_token_age, used),
        oldest_token_age = least(oldest_token_age, used)
    WHERE id = who;
END $$;
